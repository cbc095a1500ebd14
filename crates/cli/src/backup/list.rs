//! `havre backup list`: runs, newest first, and why one left no backup. Tests at the end of the file.

use havre_api::backup::{BackupRun, BackupRunList};
use havre_core::backup::What;
use havre_core::backup::run::RunState;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;

use super::Named;
use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output::{self, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,
    /// Only to this target
    #[arg(long, value_name = "NAME")]
    target: Option<TargetName>,
    /// Only in this state: waiting, dumping, storing, verifying, good or failed
    #[arg(long, value_name = "STATE")]
    state: Option<RunState>,
    /// Most entries
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let what = options.named.what(invocation)?.as_ref().map(What::key);
    let target = path::query(
        "/v1/backup-runs",
        &[
            ("limit", Some(&options.limit)),
            ("what", what.as_ref().map(|what| what as _)),
            ("target", options.target.as_ref().map(|target| target as _)),
            ("state", options.state.as_ref().map(|state| state as _)),
        ],
    );
    let list: BackupRunList = invocation.client()?.get(&target).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.runs, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(runs: &[BackupRun], now: Timestamp) -> String {
    let mut rows =
        vec![table::row(["RUN", "WHAT", "TARGET", "STATE", "BEGAN", "TOOK", "BYTES", "ADDED", "WHY"])];
    for run in runs {
        let began = run.begun_at.map_or_else(String::new, |at| time::ago(at, now));
        let took = run
            .begun_at
            .map_or_else(String::new, |began| time::length(run.ended_at.unwrap_or(now).since(began)));
        rows.push(table::row([
            &run.id.to_string(),
            &run.name,
            run.target.as_str(),
            run.status.as_str(),
            &began,
            &took,
            &time::size(run.produced_bytes),
            &time::size(run.added_bytes),
            &why(run),
        ]));
    }
    table::columns(&rows)
}

fn why(run: &BackupRun) -> String {
    if !run.failure.is_empty() {
        return run.failure.clone();
    }
    if run.forgotten_at.is_some() {
        return "removed as the policy says".to_owned();
    }
    if run.cancel_requested && !run.is_final { "should stop".to_owned() } else { String::new() }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn run(id: &str, more: Value) -> BackupRun {
        let at = "2026-11-24T10:00:00.000Z";
        let mut body = json!({
            "id": id, "what": { "kind": "platform" }, "name": "platform", "target": "disk-two",
            "state": { "state": "dumping", "since": at }, "status": "dumping", "is_final": false, "failure": "",
            "asked_by": { "kind": "havre" }, "produced_bytes": 1536, "added_bytes": 512, "snapshot": null, "manifest": null,
            "cancel_requested": false, "created_at": at, "begun_at": at, "ended_at": null, "forgotten_at": null,
        });
        for (key, value) in more.as_object().expect("is a table") {
            body[key] = value.clone();
        }
        serde_json::from_value(body).expect("is a body")
    }

    #[test]
    fn a_table() {
        let failed = json!({ "status": "failed", "is_final": true, "failure": "it was cancelled",
            "ended_at": "2026-11-24T10:01:05.000Z" });
        let waiting = json!({ "status": "waiting", "begun_at": null, "produced_bytes": 0, "added_bytes": 0 });
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&[run("u2", waiting), run("u1", failed)], now), @r"
        RUN  WHAT      TARGET    STATE    BEGAN   TOOK   BYTES   ADDED  WHY
        u2   platform  disk-two  waiting                 0 B     0 B
        u1   platform  disk-two  failed   2h ago  1m05s  1.5 KB  512 B  it was cancelled
        ");
    }
}
