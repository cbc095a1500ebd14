//! `havre job runs`: the runs of one job, newest first, and why one failed or never began. Tests at the end of the file.

use havre_api::job::{JobRun, JobRunList};
use havre_core::job::Trigger;
use havre_core::time::Timestamp;

use super::{Named, find_service, remark, runs_path};
use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output::{self, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,
    /// Most entries
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let service = find_service(&client, &scope, &options.named).await?;
    let target = runs_path(&scope, &service, &options.named.job);
    let list: JobRunList = client.get(&path::query(&target, &[("limit", Some(&options.limit))])).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.runs, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(runs: &[JobRun], now: Timestamp) -> String {
    let mut rows = vec![table::row(["RUN", "PLANNED AT", "BY", "STATE", "ATTEMPT", "TOOK", "WHY"])];
    for run in runs {
        let by = match run.trigger {
            Trigger::Schedule => "schedule",
            Trigger::Hand => "hand",
        };
        let attempt = if run.attempt == 0 { String::new() } else { run.attempt.to_string() };
        let took = run
            .started_at
            .map_or_else(String::new, |started| time::length(run.ended_at.unwrap_or(now).since(started)));
        rows.push(table::row([
            &run.id.to_string(),
            &run.planned_at.to_string(),
            by,
            run.state.name(),
            &attempt,
            &took,
            &why(run),
        ]));
    }
    table::columns(&rows)
}

fn why(run: &JobRun) -> String {
    let mut parts = Vec::new();
    if !remark(run).is_empty() {
        parts.push(remark(run).to_owned());
    }
    if run.missed > 0 {
        parts.push(format!("stands for {} missed before it", run.missed));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(id: &str, more: Value) -> JobRun {
        let mut body = json!({"id": id, "job": "cleanup", "service_id": "s1", "release": "r7",
            "trigger": "schedule", "place": {"project": "shop", "environment": "production", "service": "api"},
            "planned_at": "2026-11-24T03:00:00.000Z", "missed": 0, "attempt": 1,
            "started_at": "2026-11-24T03:00:01.000Z", "ended_at": null, "is_final": true, "exit_code": null,
            "failure": "", "waiting": "", "cancel_requested": false,
            "created_at": "2026-11-24T03:00:00.000Z"});
        for (key, value) in more.as_object().expect("is a table") {
            body[key] = value.clone();
        }
        serde_json::from_value(body).expect("is a body")
    }

    #[test]
    fn a_table() {
        let at = "2026-11-24T03:00:13.500Z";
        let runs = [
            run(
                "j4",
                json!({"state": {"state": "running", "since": "2026-11-24T03:00:01.000Z"}, "trigger": "hand"}),
            ),
            run(
                "j3",
                json!({"state": {"state": "skipped", "at": at, "reason": {"code": "missed"}}, "ended_at": at,
                    "attempt": 0, "started_at": null, "failure": "its time went by while nothing could run"}),
            ),
            run(
                "j2",
                json!({"state": {"state": "failed", "at": at,
                    "reason": {"code": "exited", "exit": 7, "out_of_memory": false}}, "ended_at": at,
                    "attempt": 3, "missed": 2, "failure": "its command ended with code 7"}),
            ),
            run("j1", json!({"state": {"state": "succeeded", "at": at}, "ended_at": at})),
        ];
        let now = Timestamp::parse("2026-11-24T03:01:05Z").expect("an instant");
        insta::assert_snapshot!(render(&runs, now), @r"
        RUN  PLANNED AT                BY        STATE      ATTEMPT  TOOK   WHY
        j4   2026-11-24T03:00:00.000Z  hand      running    1        1m04s
        j3   2026-11-24T03:00:00.000Z  schedule  skipped                    its time went by while nothing could run
        j2   2026-11-24T03:00:00.000Z  schedule  failed     3        12.5s  its command ended with code 7; stands for 2 missed before it
        j1   2026-11-24T03:00:00.000Z  schedule  succeeded  1        12.5s
        ");
    }
}
