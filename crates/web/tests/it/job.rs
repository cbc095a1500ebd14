//! Jobs of live releases: listed, run by hand, cancelled, and their logs.

use axum::body::Body;
use futures_util::StreamExt as _;
use havre_api::job::JobLogEntry;
use havre_api::task::LogStream;
use havre_core::id::JobRunId;
use havre_core::job::state::{FailureReason, State};
use havre_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, LineReader, START, World, send, site, tasks};

const RUNS: &str = "/v1/projects/dropit/environments/production/services/api/jobs/cleanup/runs";

fn job() -> Value {
    json!({
        "schedule": "0 3 * * *", "timezone": "Europe/Paris", "command": ["node", "cleanup.js"], "timeout": "1h",
        "retries": 2, "missed": "run_once", "keep": 20,
    })
}

fn api() -> Value {
    let mut api = tasks("api", "api.example");
    api["jobs"] = json!({ "cleanup": job() });
    api
}

fn place() -> Value {
    json!({ "project": "dropit", "environment": "production", "service": "api" })
}

/// A live release with the job.
async fn live() -> World {
    let world = World::new();
    let (status, body) = world.apply(&[api()]).await;
    assert_eq!(status, 200, "{body}");
    world.deploy("api").await;
    world
}

fn asked() -> Value {
    let at = "2026-11-24T10:00:00.000Z";
    json!({
        "id": "j1", "job": "cleanup", "service_id": "s1", "place": place(), "release": "r1", "trigger": "hand",
        "planned_at": at, "missed": 0, "attempt": 0, "started_at": null, "ended_at": null,
        "state": { "state": "waiting", "not_before": at }, "is_final": false, "exit_code": null, "failure": "",
        "waiting": "", "cancel_requested": false, "created_at": at,
    })
}

#[tokio::test]
async fn the_jobs_of_an_environment() {
    let world = World::new();
    world.apply(&[api()]).await;
    let path = format!("{ENVIRONMENT}/jobs");
    assert_eq!(world.get(&path).await, (200, json!({ "jobs": [] })), "nothing is live");
    world.deploy("api").await;
    let mut expected = json!({
        "name": "cleanup", "service_id": "s1", "place": place(), "release": "r1", "spec": job(),
        "next_at": "2026-11-25T02:00:00.000Z", "open": null, "last": null,
    });
    assert_eq!(world.get(&path).await, (200, json!({ "jobs": [expected.clone()] })));
    world.ask("POST", RUNS, Value::Null).await;
    expected["open"] = asked();
    assert_eq!(world.get(&path).await, (200, json!({ "jobs": [expected] })));
    let (status, body) = world.get("/v1/projects/dropit/environments/staging/jobs").await;
    assert_eq!((status, &body["code"]), (404, &json!("environment_not_found")));
}

#[tokio::test]
async fn a_run_by_hand() {
    let world = live().await;
    assert_eq!(world.get(RUNS).await, (200, json!({ "runs": [] })));
    assert_eq!(world.ask("POST", RUNS, Value::Null).await, (202, asked()));
    assert_eq!(world.get("/v1/job-runs/j1").await, (200, asked()));
    assert_eq!(world.get(RUNS).await, (200, json!({ "runs": [asked()] })));
    assert_eq!(
        world.ask("POST", RUNS, Value::Null).await,
        (
            409,
            json!({
                "code": "job_running",
                "message": "j1 of the job cleanup has not ended, and two runs of a job never overlap",
                "hint": "wait until it has ended, or `havre job cancel j1`",
            })
        )
    );
    let mut cancelled = asked();
    cancelled["cancel_requested"] = json!(true);
    assert_eq!(world.ask("POST", "/v1/job-runs/j1/cancel", Value::Null).await, (202, cancelled));
}

#[tokio::test]
async fn a_run_that_is_over() {
    let world = live().await;
    world.ask("POST", RUNS, Value::Null).await;
    let at = Timestamp::from_millis(START);
    world
        .write(move |tx| {
            let id = JobRunId::new(1);
            let run = tx.get_job_run(id)?;
            tx.begin_job_attempt(id, &run.state, run.release)?;
            let reason = FailureReason::Exited { exit: 3, out_of_memory: false };
            tx.set_job_run_state(id, &State::Starting { since: at }, State::Failed { at, reason })
        })
        .await;
    let (status, run) = world.get("/v1/job-runs/j1").await;
    assert_eq!((status, &run["state"]["state"], &run["is_final"]), (200, &json!("failed"), &json!(true)));
    assert_eq!((&run["attempt"], &run["exit_code"]), (&json!(1), &json!(3)));
    assert_eq!(run["failure"], "its command ended with code 3");
    assert_eq!(run["started_at"], run["ended_at"], "both are there");
    let (_, jobs) = world.get(&format!("{ENVIRONMENT}/jobs")).await;
    assert_eq!((&jobs["jobs"][0]["open"], &jobs["jobs"][0]["last"]), (&Value::Null, &run));
    let (status, body) = world.ask("POST", "/v1/job-runs/j1/cancel", Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("already_over")));
    assert_eq!(body["message"], "j1 is over already: it is failed");
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let world = World::new();
    world.apply(&[api()]).await;
    let (status, body) = world.ask("POST", RUNS, Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("nothing_live")));
    world.deploy("api").await;
    let other = RUNS.replace("cleanup", "cleanupp");
    for method in ["GET", "POST"] {
        let expected = json!({
            "code": "job_not_found",
            "message": "the live release of dropit/production/api has no job `cleanupp`; did you mean `cleanup`?",
            "hint": "its jobs are: cleanup",
        });
        assert_eq!(world.ask(method, &other, Value::Null).await, (404, expected), "{method}");
    }
    for (path, status, code) in [
        ("/v1/job-runs/j9", 404, "job_run_not_found"),
        ("/v1/job-runs/j9/log", 404, "job_run_not_found"),
        ("/v1/job-runs/d9", 400, "name_invalid"),
        ("/v1/job-runs/j9/log?tail=3", 400, "query_invalid"),
    ] {
        let (got, body) = world.get(path).await;
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{path}");
    }
    let (status, body) = world.ask("POST", "/v1/job-runs/j9/cancel", Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("job_run_not_found")));
}

#[tokio::test]
async fn a_log_is_streamed() {
    let world = live().await;
    world.ask("POST", RUNS, Value::Null).await;
    let entry = JobLogEntry {
        at: Timestamp::from_millis(START),
        attempt: 2,
        stream: LogStream::Stdout,
        line: "at work".to_owned(),
    };
    let stream = futures_util::stream::iter([Ok(entry)]).boxed();
    world.streams.job_logs.lock().expect("no holder panics").push_back(Ok(stream));
    let response = send(&world.local, "GET", "/v1/job-runs/j1/log?follow=true", &[], Body::empty()).await;
    let line =
        json!({ "at": "2026-11-24T10:00:00.000Z", "attempt": 2, "stream": "stdout", "line": "at work" });
    assert_eq!(LineReader::new(response).all().await, [line]);
    assert_eq!(*world.streams.asked_for_jobs.lock().expect("no holder panics"), ["j1 follow=true"]);
}

#[tokio::test]
async fn jobs_obey_rules() {
    let world = World::new();
    let mut first = api();
    first["jobs"]["cleanup"]["timezone"] = json!("Mars/Olympus");
    first["jobs"]["cleanup"]["retries"] = json!(11);
    first["jobs"]["cleanup"]["timeout"] = json!("8d");
    first["jobs"]["cleanup"]["keep"] = json!(0);
    let mut second = tasks("mail", "mail.example");
    second["jobs"] = json!({ "cleanup": job() });
    let mut third = site("web", "web.example");
    third["jobs"] = json!({ "publish": job() });
    let (status, body) = world.apply(&[first, second, third]).await;
    assert_eq!((status, &body["code"]), (422, &json!("spec_invalid")));
    let expected = json!([
        "api: job cleanup: there is no time zone Mars/Olympus",
        "api: job cleanup: its timeout is between 1s and 7d",
        "api: job cleanup: at most 10 retries",
        "api: job cleanup: it keeps between 1 and 1000 runs",
        "the job cleanup is claimed by api and by mail",
        "web: a site runs no tasks, so it has no jobs",
    ]);
    assert_eq!(body["details"]["broken"], expected);
    let mut wrong = api();
    wrong["jobs"]["cleanup"]["schedule"] = json!("0 25 * * *");
    let (status, body) = world.apply(&[wrong]).await;
    assert_eq!((status, &body["code"]), (400, &json!("body_invalid")));
    let message = body["message"].as_str().expect("text");
    assert!(message.contains("`0 25 * * *` is not a schedule: 25 is no hour"), "{message}");
}
