//! `havre job list`: every job of the environment, when it runs next and how its last run ended. Tests at the end of the file.

use havre_api::job::{Job, JobList};
use havre_core::time::Timestamp;

use super::remark;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let list: JobList = invocation.client()?.get(&format!("{}/jobs", scope.path())).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.jobs, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(jobs: &[Job], now: Timestamp) -> String {
    let mut rows = vec![table::row(["JOB", "SERVICE", "SCHEDULE", "NEXT", "LAST", "NOW"])];
    for job in jobs {
        let next = job.next_at.map_or_else(String::new, |at| format!("in {}", time::length(at.since(now))));
        rows.push(table::row([
            job.name.as_str(),
            job.place.service.as_str(),
            &schedule(job),
            &next,
            &last(job, now),
            &present(job),
        ]));
    }
    table::columns(&rows)
}

/// The schedule and whose clock it is read from.
fn schedule(job: &Job) -> String {
    match &job.spec.schedule {
        None => "by hand".to_owned(),
        Some(schedule) if job.spec.timezone.is_utc() => schedule.to_string(),
        Some(schedule) => format!("{schedule} {}", job.spec.timezone),
    }
}

/// How its last run ended, and when.
fn last(job: &Job, now: Timestamp) -> String {
    let Some(run) = &job.last else { return "never ran".to_owned() };
    let ended = run.ended_at.map_or_else(String::new, |at| format!(" {}", time::ago(at, now)));
    format!("{} {}{ended}", run.id, run.state.name())
}

/// The run that has not ended.
fn present(job: &Job) -> String {
    let Some(run) = &job.open else { return String::new() };
    match remark(run) {
        "" => format!("{} {}", run.id, run.state.name()),
        why => format!("{} {}: {why}", run.id, run.state.name()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(id: &str, state: Value) -> Value {
        json!({"id": id, "job": "cleanup", "service_id": "s1", "release": "r7", "trigger": "schedule",
            "place": {"project": "shop", "environment": "production", "service": "api"},
            "planned_at": "2026-11-24T03:00:00.000Z", "missed": 0, "attempt": 1,
            "started_at": "2026-11-24T03:00:01.000Z", "ended_at": state.get("at"), "is_final": true,
            "exit_code": null, "failure": "", "waiting": "", "cancel_requested": false, "state": state,
            "created_at": "2026-11-24T03:00:00.000Z"})
    }

    fn job(name: &str, spec: Value, next: Value, open: Value, last: Value) -> Job {
        let mut full = json!({"command": ["node", "job.js"], "timeout": "1h", "retries": 0,
            "missed": "run_once", "keep": 20});
        for (key, value) in spec.as_object().expect("is a table") {
            full[key] = value.clone();
        }
        serde_json::from_value(json!({"name": name, "service_id": "s1", "release": "r7", "spec": full,
            "place": {"project": "shop", "environment": "production", "service": "api"},
            "next_at": next, "open": open, "last": last}))
        .expect("is a body")
    }

    #[test]
    fn a_table() {
        let succeeded = json!({"state": "succeeded", "at": "2026-11-24T03:05:00.000Z"});
        let timed_out = json!({"state": "timed_out", "at": "2026-11-24T11:59:40.000Z"});
        let running = json!({"state": "running", "since": "2026-11-24T11:00:00.000Z"});
        let mut waits = run("j9", json!({"state": "waiting", "not_before": "2026-11-24T11:00:00.000Z"}));
        waits["waiting"] = "the engine is not ready".into();
        let jobs = [
            job(
                "cleanup",
                json!({"schedule": "0 3 * * *", "timezone": "Europe/Paris"}),
                json!("2026-11-25T02:00:00.000Z"),
                Value::Null,
                run("j4", succeeded),
            ),
            job("import", json!({}), Value::Null, run("j8", running), Value::Null),
            job(
                "report",
                json!({"schedule": "@hourly"}),
                json!("2026-11-24T13:00:00.000Z"),
                waits,
                run("j7", timed_out),
            ),
        ];
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&jobs, now), @r"
        JOB      SERVICE  SCHEDULE                NEXT       LAST                  NOW
        cleanup  api      0 3 * * * Europe/Paris  in 14h00m  j4 succeeded 8h ago
        import   api      by hand                            never ran             j8 running
        report   api      @hourly                 in 1h00m   j7 timed_out 20s ago  j9 waiting: the engine is not ready
        ");
    }
}
