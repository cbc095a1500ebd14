//! `havre db copy`: the database of one environment, copied into that of another one and masked on the way; followed to its end. It belongs to
//! the server: leaving does not stop it. Tests at the end of the file.

use std::path::{Path, PathBuf};

use havre_api::copy::{Copy, CopyRequest, CopyResponse};
use havre_core::copy::POLICY_MAX;
use havre_core::copy::state::State;
use havre_core::id::CopyId;
use havre_core::name::{DatabaseName, EnvironmentName};
use hyper::Method;

use super::path;
use crate::environment::destroy::ask;
use crate::exit::{CliError, Exit};
use crate::http::{Client, ending};
use crate::invocation::{Invocation, Scope};
use crate::output::{self, time};

/// Tables that are shown.
const TABLES: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Environment whose database is copied
    from: EnvironmentName,
    /// Environment whose database becomes the copy
    to: EnvironmentName,
    /// Database, of the same name in both
    database: DatabaseName,
    /// Rules by which personal data is masked on the way
    #[arg(long, value_name = "PRIVACY.TOML", conflicts_with = "unmasked")]
    mask: Option<PathBuf>,
    /// Copy personal data as it is
    #[arg(long)]
    unmasked: bool,
    /// Drop what was there before, in place of keeping it as NAME_before_N
    #[arg(long)]
    drop_old: bool,
    /// Go on where the leak test finds original values in columns that are kept
    #[arg(long, requires = "mask")]
    accept_leaks: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
    /// Do not ask before a database of production is replaced
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let policy = options.mask.as_deref().map(read_policy).transpose()?;
    let scope = Scope { project: invocation.scope()?.project, environment: options.to.clone() };
    let client = invocation.client()?;
    if options.to == EnvironmentName::production() && !options.yes && !options.dry_run {
        let what = format!("{} of {}/production becomes a copy", options.database, scope.project);
        ask(options.database.as_str(), &what)?;
    }
    let request = CopyRequest {
        from: options.from,
        policy,
        unmasked: options.unmasked,
        drop_old: options.drop_old,
        accept_leaks: options.accept_leaks,
        confirm: Some(options.database.to_string()),
        dry_run: options.dry_run,
    };
    let target = path(&scope, &options.database, "/copies");
    let answer: CopyResponse = client.call(Method::POST, &target, &request).await?;
    output::warn(&answer.warnings);
    let json = invocation.global.json;
    let Some(copy) = answer.copy.clone() else {
        if json {
            output::json(&answer)?;
        } else {
            output::say("nothing was changed (--dry-run)");
        }
        return Ok(Exit::Ok);
    };
    if options.detach {
        if json {
            output::json(&answer)?
        } else {
            output::data(&format!("{}\n", copy.id))?
        }
        return Ok(Exit::Ok);
    }
    output::say(&format!("{} into {} is asked for", copy.id, copy.place));
    follow(&client, copy.id, json).await
}

/// The rules, as they are; the server reads them.
pub(super) fn read_policy(path: &Path) -> Result<String, CliError> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(POLICY_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > POLICY_MAX {
        return Err(CliError::usage(format!("{} is over {POLICY_MAX} bytes", path.display())));
    }
    Ok(text)
}

/// Shows how far it has come, then how it ended. With `--json`, only the copy as it ended.
pub(super) async fn follow(client: &Client, id: CopyId, json: bool) -> Result<Exit, CliError> {
    let path = format!("/v1/copies/{id}");
    tokio::select! {
        result = ending::last(client, &path, |copy: &Copy| copy.is_final, progress) => show(&result?, json),
        _ = tokio::signal::ctrl_c() => {
            output::say(&format!("{id} goes on; `havre db cancel {id}` stops it"));
            Ok(Exit::Interrupted)
        }
    }
}

fn progress(copy: &Copy) -> String {
    match copy.waiting.is_empty() {
        true => copy.state.name().to_owned(),
        false => copy.waiting.clone(),
    }
}

fn show(copy: &Copy, json: bool) -> Result<Exit, CliError> {
    if json {
        output::json(copy)?;
    }
    if let State::Succeeded { .. } = copy.state {
        if !json {
            output::data(&render(copy))?;
        }
        return Ok(Exit::Ok);
    }
    let id = copy.id;
    let lines = copy.failure.lines().map(output::printable);
    let failure = lines.collect::<Vec<_>>().join("\n");
    let message = match failure.as_str() {
        "" => format!("{id} {}: everything is as it was", copy.state.name()),
        why => format!("{id} {}, and everything is as it was: {why}", copy.state.name()),
    };
    Err(CliError::new(Exit::Failed, message))
}

/// What was copied.
fn render(copy: &Copy) -> String {
    let mut text = format!("{} is the copy {} now\n", copy.place, copy.id);
    let Some(report) = copy.state.report() else { return text };
    text.push_str(&format!("    {} copied\n", time::size(report.bytes)));
    if let Some(before) = &copy.before {
        text.push_str(&format!("    what was there before stays as {before}\n"));
    }
    for table in report.tables.iter().take(TABLES) {
        let name = output::printable(&table.table);
        text.push_str(&format!("    {name}: {} of {} rows\n", table.copied, table.seen));
    }
    if report.tables.len() > TABLES {
        text.push_str(&format!("    and {} tables more\n", report.tables.len() - TABLES));
    }
    if report.large_objects > 0 {
        text.push_str("    large objects were left out\n");
    }
    if copy.masked {
        let found = report.leaks.len();
        let looked = report.remembered;
        text.push_str(&format!(
            "    leak test: {looked} original values looked for, {found} columns found\n"
        ));
    }
    for leak in &report.leaks {
        text.push_str(&format!("        {}\n", output::printable(&leak.to_string())));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::copies::tests::copy;
    use super::*;

    #[test]
    fn what_was_copied() {
        let report = json!({"bytes": 2048, "tables": [{"table": "public.users", "seen": 3, "copied": 3}],
            "remembered": 6, "leaks": [{"table": "public.users", "column": "email", "shown": "m*** (20 characters)",
            "times": 2}]});
        let state = json!({"state": "succeeded", "at": "2026-11-24T10:01:00.000Z", "report": report});
        let copy = copy(json!({"state": state, "before": "db_before_3", "is_final": true}));
        insta::assert_snapshot!(render(&copy), @r"
        shop/staging/db is the copy q3 now
            2.0 KB copied
            what was there before stays as db_before_3
            public.users: 3 of 3 rows
            leak test: 6 original values looked for, 1 columns found
                public.users.email: m*** (20 characters), 2 times
        ");
    }

    #[test]
    fn a_failure_says_that_nothing_changed() {
        let failed = json!({"state": "failed", "at": "2026-11-24T10:01:00.000Z", "reason": {"code": "gone"}});
        let copy = copy(json!({"state": failed, "failure": "why\n\nemail = \"email\"", "is_final": true}));
        let error = show(&copy, false).expect_err("it failed");
        assert_eq!(error.message, "q3 failed, and everything is as it was: why\n\nemail = \"email\"");
        assert_eq!(error.exit, Exit::Failed);
    }
}
