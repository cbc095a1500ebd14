//! `havre backup drill`: tries now whether the newest backup of a database restores, and waits for its end. Tests at the end of the file.

use havre_api::restore::Drill;
use havre_core::name::DatabaseName;

use crate::database::path;
use crate::exit::{CliError, Exit};
use crate::http::{Client, ending};
use crate::invocation::Invocation;
use crate::output::{self, printable, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database whose newest backup is tried
    database: DatabaseName,
    /// Only ask for it, do not wait for its end
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let json = invocation.global.json;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let drill: Drill = client.post(&path(&scope, &options.database, "/drills")).await?;
    let (id, at) = (drill.id, drill.at);
    output::say(&format!("{id} tries snapshot {} of {at} in {}", drill.snapshot.short(), drill.target));
    if options.detach {
        if json {
            output::json(&drill)?;
        } else {
            output::data(&format!("{id}\n"))?;
        }
        return Ok(Exit::Ok);
    }
    tokio::select! {
        result = follow(&client, drill, json) => result,
        _ = tokio::signal::ctrl_c() => {
            output::say(&format!("it goes on; `havre backup report {id}` shows what comes of it"));
            Ok(Exit::Interrupted)
        }
    }
}

/// Says how it goes on, until it is over. With `--json`, only how it ended.
async fn follow(client: &Client, asked: Drill, json: bool) -> Result<Exit, CliError> {
    let path = format!("/v1/drills/{}", asked.id);
    let progress = |found: &Drill| format!("{} is {}", found.id, found.status);
    ended(&ending::last(client, &path, |found: &Drill| found.is_final, progress).await?, json)
}

fn ended(found: &Drill, json: bool) -> Result<Exit, CliError> {
    if json {
        output::json(found)?;
    }
    let hint = format!("`havre backup report {}` shows all of it", found.id);
    if !found.failure.is_empty() {
        let text = format!("{} failed: {}", found.id, printable(&found.failure));
        return Err(CliError::new(Exit::Failed, text).hint(hint));
    }
    output::say(&format!("{} passed: {}; {hint}", found.id, took(found)));
    Ok(Exit::Ok)
}

/// How long it took until the copy was whole.
pub(super) fn took(drill: &Drill) -> String {
    match drill.rto_measured_ms {
        Some(millis) => {
            format!("the copy was whole after {}", time::length(std::time::Duration::from_millis(millis)))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::report::tests::drill;
    use super::*;

    #[test]
    fn it_ends_as_it_came_out() {
        let passed = drill(json!({ "status": "passed", "is_final": true, "rto_measured_ms": 64_000 }));
        assert_eq!(ended(&passed, false).expect("it passed"), Exit::Ok);
        assert_eq!(took(&passed), "the copy was whole after 1m04s");
        let failed = drill(json!({ "status": "failed", "is_final": true, "failure": "1 tables differ" }));
        let error = ended(&failed, false).expect_err("it failed");
        assert_eq!((error.exit, error.message.as_str()), (Exit::Failed, "x7 failed: 1 tables differ"));
    }
}
