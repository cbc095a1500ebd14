//! `havre job`: which service is meant, what is followed, how it ends.

use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, Fake};

/// A job of `service`, as the list has it.
fn job(service: &str) -> Value {
    json!({"name": "cleanup", "service_id": "s1", "release": "r7", "next_at": null, "open": null, "last": null,
        "place": {"project": "shop", "environment": "production", "service": service},
        "spec": {"command": ["node", "cleanup.js"], "timeout": "1h", "retries": 0, "missed": "run_once",
            "keep": 20}})
}

/// `j3` in this state.
fn run(state: Value, failure: &str) -> Value {
    let ended = state.get("at").cloned();
    json!({"id": "j3", "job": "cleanup", "service_id": "s1", "release": "r7", "trigger": "hand",
        "place": {"project": "shop", "environment": "production", "service": "api"},
        "planned_at": "2026-11-24T10:00:00.000Z", "missed": 0, "attempt": 1,
        "started_at": "2026-11-24T10:00:01.000Z", "is_final": ended.is_some(), "ended_at": ended,
        "exit_code": null, "failure": failure, "waiting": "", "cancel_requested": false, "state": state,
        "created_at": "2026-11-24T10:00:00.000Z"})
}

fn running() -> Value {
    run(json!({"state": "running", "since": "2026-11-24T10:00:01.000Z"}), "")
}

fn line(second: u32, text: &str) -> Value {
    json!({"at": format!("2026-11-24T10:00:{second:02}.000Z"), "attempt": 1, "stream": "stdout", "line": text})
}

/// A server with `cleanup` of `api`, whose run is `j3`.
async fn one_job() -> Fake {
    let fake = Fake::start().await;
    fake.answer(&format!("GET {ENVIRONMENT}/jobs"), 200, json!({"jobs": [job("api")]}));
    fake.answer(&format!("POST {ENVIRONMENT}/services/api/jobs/cleanup/runs"), 202, running());
    fake.answer("GET /v1/job-runs/j3", 200, running());
    fake.stream("/v1/job-runs/j3/log", &[line(1, "cleaning")], false);
    fake
}

#[tokio::test]
async fn a_run_by_hand_is_followed_to_its_end() {
    let fake = one_job().await;
    let mut run_now = fake.run(&["job", "run", "cleanup", "--project", "shop"]);
    run_now.until("j3 of cleanup of shop/production/api is asked for").await;
    fake.wait_for("GET /v1/job-runs/j3/log?follow=true", 1).await;
    let at = "2026-11-24T10:00:13.500Z";
    fake.answer("GET /v1/job-runs/j3", 200, run(json!({"state": "succeeded", "at": at}), ""));
    fake.push("/v1/job-runs/j3/log", line(2, "3 rows removed"));
    fake.end("/v1/job-runs/j3/log");
    let (code, stdout, stderr) = run_now.end().await;
    insta::assert_snapshot!(stdout, @r"
    2026-11-24T10:00:01.000Z attempt 1 | cleaning
    2026-11-24T10:00:02.000Z attempt 1 | 3 rows removed
    ");
    assert!(stderr.ends_with("j3 succeeded in TIME"), "{stderr}");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn a_run_that_fails_ends_with_an_error() {
    let fake = one_job().await;
    let state = json!({"state": "failed", "at": "2026-11-24T10:00:13.500Z",
        "reason": {"code": "exited", "exit": 7, "out_of_memory": false}});
    fake.answer("GET /v1/job-runs/j3", 200, run(state, "its command ended with code 7"));
    fake.end("/v1/job-runs/j3/log");
    let (code, _, stderr) = fake.finish(&["job", "run", "cleanup", "--project", "shop"]).await;
    assert_eq!(code, 1);
    assert!(
        stderr.ends_with(
            "error: j3 failed: its command ended with code 7\n  `havre job logs j3` shows what it wrote"
        ),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_shown_does_not_hide_how_a_run_ended() {
    let fake = one_job().await;
    let end =
        json!({"error": {"code": "unavailable", "message": "Docker is not running", "hint": "start it"}});
    fake.push("/v1/job-runs/j3/log", end);
    let at = "2026-11-24T10:00:13.500Z";
    fake.answer("GET /v1/job-runs/j3", 200, run(json!({"state": "succeeded", "at": at}), ""));
    let (code, _, stderr) = fake.finish(&["job", "run", "cleanup", "--project", "shop"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("could not show its log any further: Docker is not running"), "{stderr}");
}

#[tokio::test]
async fn a_log_goes_on_after_a_restart_without_repeating_itself() {
    let mut fake = one_job().await;
    let mut logs = fake.run(&["job", "logs", "j3", "-f"]);
    fake.wait_for("GET /v1/job-runs/j3/log?follow=true", 1).await;
    fake.kill().await;
    logs.until("trying again").await;
    fake.push("/v1/job-runs/j3/log", line(2, "3 rows removed"));
    fake.end("/v1/job-runs/j3/log");
    fake.bind().await;
    let (code, stdout, _) = logs.end().await;
    insta::assert_snapshot!(stdout, @r"
    2026-11-24T10:00:01.000Z attempt 1 | cleaning
    2026-11-24T10:00:02.000Z attempt 1 | 3 rows removed
    ");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn a_name_that_several_services_use_needs_the_service() {
    let fake = one_job().await;
    fake.answer(&format!("GET {ENVIRONMENT}/jobs"), 200, json!({"jobs": [job("api"), job("mail")]}));
    let (code, _, stderr) = fake.finish(&["job", "run", "cleanup", "--project", "shop"]).await;
    assert_eq!(
        (code, stderr.as_str()),
        (2, "error: several services have a job cleanup: name one with --service\n  api, mail")
    );
    let arguments = ["job", "run", "cleanup", "--service", "api", "--detach", "--project", "shop"];
    let (code, stdout, _) = fake.finish(&arguments).await;
    assert_eq!((code, stdout.as_str()), (0, "j3\n"));
}

#[tokio::test]
async fn a_job_nobody_has_is_absent() {
    let fake = one_job().await;
    let (code, _, stderr) = fake.finish(&["job", "runs", "nope", "--project", "shop"]).await;
    assert_eq!(code, 5);
    assert!(stderr.starts_with("error: shop/production has no job nope"), "{stderr}");
}

#[tokio::test]
async fn a_cancelled_run_is_one_json_line() {
    let fake = one_job().await;
    fake.answer("POST /v1/job-runs/j3/cancel", 202, running());
    let (code, stdout, _) = fake.finish(&["job", "cancel", "j3", "--json"]).await;
    let parsed: Value = serde_json::from_str(&stdout).expect("is one JSON line");
    assert_eq!((code, parsed["id"].as_str()), (0, Some("j3")));
}
