//! `havre db swap`: another database takes the name services use; followed to its end, as `havre db upgrade` is. It belongs to the server: leaving
//! does not stop it. Tests at the end of the file.

use havre_api::swap::{Swap, SwapRequest, SwapResponse};
use havre_core::id::SwapId;
use havre_core::name::{DatabaseName, EnvironmentName};
use hyper::Method;

use super::path;
use crate::environment::destroy::ask;
use crate::exit::{CliError, Exit};
use crate::http::{Client, ending};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database whose name services use
    database: DatabaseName,
    /// Database that takes that name
    other: DatabaseName,
    #[command(flatten)]
    how: How,
}

/// What a swap and an upgrade have in common.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
    /// Do not ask before services of production lose their database
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let request = SwapRequest { with: Some(options.other), ..SwapRequest::default() };
    begin(invocation, &options.database, request, &options.how).await
}

/// Asks for it and follows it.
pub(super) async fn begin(
    invocation: &Invocation,
    database: &DatabaseName,
    mut request: SwapRequest,
    how: &How,
) -> Result<Exit, CliError> {
    let (scope, client) = (invocation.scope()?, invocation.client()?);
    let (target, json) = (path(&scope, database, "/swaps"), invocation.global.json);
    if scope.environment == EnvironmentName::production() && !how.yes && !how.dry_run {
        request.dry_run = true;
        let would: SwapResponse = client.call(Method::POST, &target, &request).await?;
        output::warn(&would.warnings);
        ask(
            database.as_str(),
            &format!("services of {}/production lose {database} for a while", scope.project),
        )?;
    }
    let is_warned = std::mem::replace(&mut request.dry_run, how.dry_run);
    request.confirm = Some(database.to_string());
    let answer: SwapResponse = client.call(Method::POST, &target, &request).await?;
    if !is_warned {
        output::warn(&answer.warnings);
    }
    let Some(swap) = &answer.swap else {
        if json {
            output::json(&answer)?;
        } else {
            output::say("nothing was changed (--dry-run)");
        }
        return Ok(Exit::Ok);
    };
    if how.detach {
        if json {
            output::json(&answer)?;
        } else {
            output::data(&format!("{}\n", swap.id))?;
        }
        return Ok(Exit::Ok);
    }
    output::say(&format!("{} of {} is asked for", swap.id, swap.place));
    follow(&client, swap.id, json).await
}

/// Shows how far it has come, then how it ended. With `--json`, only the swap as it ended.
async fn follow(client: &Client, id: SwapId, json: bool) -> Result<Exit, CliError> {
    let path = format!("/v1/swaps/{id}");
    tokio::select! {
        result = ending::last(client, &path, |swap: &Swap| swap.is_final, progress) => show(&result?, json),
        _ = tokio::signal::ctrl_c() => {
            output::say(&format!("{id} goes on; `havre db cancel {id}` stops it while that is possible"));
            Ok(Exit::Interrupted)
        }
    }
}

fn progress(swap: &Swap) -> String {
    match swap.waiting.is_empty() {
        true => swap.status.clone(),
        false => format!("{}: {}", swap.status, swap.waiting),
    }
}

fn show(swap: &Swap, json: bool) -> Result<Exit, CliError> {
    if json {
        output::json(swap)?;
    }
    let (id, name) = (swap.id, &swap.place.service);
    match swap.status.as_str() {
        "succeeded" => {
            if !json {
                output::data(&render(swap))?;
            }
            Ok(Exit::Ok)
        }
        "cancelled" => {
            Err(CliError::new(Exit::Failed, format!("{id} was cancelled: {name} is what it was before")))
        }
        _ => Err(CliError::new(Exit::Failed, format!("{id} failed: {}", output::printable(&swap.failure)))
            .hint(format!("`havre db list` shows which database has the name {name} now"))),
    }
}

/// What has which name now.
fn render(swap: &Swap) -> String {
    let (name, aside) = (&swap.place.service, &swap.aside);
    let mut text = match swap.version {
        Some(version) => format!("{name} is version {version} now\n"),
        None => format!("{name} is what {} was\n", swap.other),
    };
    text.push_str(&format!(
        "    what {name} was before stays as {aside}, until `havre db destroy {aside}`\n"
    ));
    if let Some(version) = swap.version {
        text.push_str(&format!("    write `version = {version}` in havre.toml before the next deploy\n"));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn swap(more: Value) -> Swap {
        let at = "2026-11-27T10:00:00.000Z";
        let mut body = json!({"id": "w4", "place": {"project": "shop", "environment": "production", "service": "db"},
            "other": "db-restored-1", "aside": "db-before-20261127", "version": null, "status": "succeeded",
            "is_final": true, "failure": "", "waiting": "", "cancel_requested": false, "ended_at": at, "created_at": at});
        for (key, value) in more.as_object().expect("is a table") {
            body[key] = value.clone();
        }
        serde_json::from_value(body).expect("is a body")
    }

    #[test]
    fn what_has_which_name() {
        insta::assert_snapshot!(render(&swap(json!({}))), @r"
        db is what db-restored-1 was
            what db was before stays as db-before-20261127, until `havre db destroy db-before-20261127`
        ");
        insta::assert_snapshot!(render(&swap(json!({"version": 16}))), @r"
        db is version 16 now
            what db was before stays as db-before-20261127, until `havre db destroy db-before-20261127`
            write `version = 16` in havre.toml before the next deploy
        ");
    }

    #[test]
    fn a_failure_says_why() {
        let failed = swap(json!({"status": "failed", "failure": "it could not be saved: the disk is full"}));
        let error = show(&failed, false).expect_err("it failed");
        assert_eq!(error.message, "w4 failed: it could not be saved: the disk is full");
        let waits =
            swap(json!({"status": "saving", "waiting": "dumping: 12 MB so far (u7)", "is_final": false}));
        assert_eq!(progress(&waits), "saving: dumping: 12 MB so far (u7)");
    }
}
