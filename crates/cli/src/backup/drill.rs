//! `havre backup drill`: tries now whether a database comes back, from its newest dump or to its newest second, and waits for its end. Tests at the end of the file.

use std::fmt::Display;
use std::time::Duration;

use havre_api::restore::Drill;
use havre_core::name::DatabaseName;
use havre_rescue::drill::Method;

use crate::database::path;
use crate::exit::{CliError, Exit};
use crate::http::{Client, ending, path as url};
use crate::invocation::Invocation;
use crate::output::{self, printable, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database whose newest backup is tried
    database: DatabaseName,
    /// Bring it back to its newest second, out of a base backup and WAL, and not from a dump
    #[arg(long)]
    point_in_time: bool,
    /// Only ask for it, do not wait for its end
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let json = invocation.global.json;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let method: Option<&dyn Display> = options.point_in_time.then_some(&"point_in_time" as &dyn Display);
    let drills = path(&scope, &options.database, "/drills");
    let drill: Drill = client.post(&url::query(&drills, &[("method", method)])).await?;
    let id = drill.id;
    output::say(&format!("{id} tries {}", tried(&drill)));
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
    output::say(&format!("{} passed: {}; {}; {hint}", found.id, took(found), behind(found)));
    Ok(Exit::Ok)
}

/// What a drill brings back.
pub(super) fn tried(drill: &Drill) -> String {
    let (snapshot, at, target) = (drill.snapshot.short(), drill.at, &drill.target);
    match drill.method {
        Method::Dump => format!("snapshot {snapshot} of {at} in {target}"),
        Method::PointInTime => format!("{at}, out of the base backup {snapshot} and WAL in {target}"),
    }
}

/// How long it took until the copy was whole.
pub(super) fn took(drill: &Drill) -> String {
    match drill.rto_measured_ms {
        Some(millis) => format!("the copy was whole after {}", length(millis)),
        None => String::new(),
    }
}

/// What would have been lost when it was asked for.
pub(super) fn behind(drill: &Drill) -> String {
    format!("{} would have been lost then", length(drill.rpo_measured_ms))
}

fn length(millis: u64) -> String {
    time::length(Duration::from_millis(millis))
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
        assert_eq!(behind(&passed), "25.0s would have been lost then");
        assert_eq!(tried(&passed), "snapshot 11111111 of 2026-11-24T10:00:00.000Z in disk-two");
        let second = drill(json!({ "method": "point_in_time" }));
        assert_eq!(
            tried(&second),
            "2026-11-24T10:00:00.000Z, out of the base backup 11111111 and WAL in disk-two"
        );
        let failed = drill(json!({ "status": "failed", "is_final": true, "failure": "1 tables differ" }));
        let error = ended(&failed, false).expect_err("it failed");
        assert_eq!((error.exit, error.message.as_str()), (Exit::Failed, "x7 failed: 1 tables differ"));
    }
}
