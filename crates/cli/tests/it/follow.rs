//! `havre deploy` and its relatives: what is sent, what is said, how it ends.

use insta::assert_snapshot;
use serde_json::json;

use crate::world::{
    ENVIRONMENT, Fake, build, build_is, built, deployment, deployment_is, log_line, requested,
};

/// `havre deploy` that is being followed with its build at work.
async fn building(fake: &Fake) -> crate::world::Run {
    fake.one_service();
    let mut run = fake.run(&["deploy"]);
    run.until("b4 queued").await;
    fake.event(11, build_is(json!({"state": "running", "since": "2026-11-24T10:00:00.000Z"})));
    run.until("b4 building").await;
    fake.push("/v1/builds/b4/log", log_line("1/2 FROM scratch", "done"));
    run.until("1/2 FROM scratch").await;
    run
}

#[tokio::test]
async fn a_deployment_that_succeeds() {
    let fake = Fake::start().await;
    let mut run = building(&fake).await;
    fake.end("/v1/builds/b4/log");
    fake.event(12, requested());
    fake.event(13, built());
    for (seq, name) in (14..).zip(["preparing", "migrating"]) {
        fake.event(seq, deployment_is(name));
    }
    fake.event(
        16,
        json!({"room": "deployment", "type": "command_output", "deployment": "d7", "lines": ["migrated 3 tables"]}),
    );
    fake.event(17, json!({"room": "of a newer server", "type": "unknown"}));
    for (seq, name) in (18..).zip(["starting", "verifying", "switching", "draining"]) {
        fake.event(seq, deployment_is(name));
    }
    run.until("d7 draining").await;
    fake.answer("GET /v1/builds/b4", 200, build(&built()["to"]));
    fake.event(22, deployment_is("succeeded"));
    let (code, stdout, stderr) = run.end().await;
    assert_snapshot!("succeeds", stderr);
    assert_eq!((code, stdout.as_str()), (0, ""));

    // What was sent: the configuration, then a context without what is ignored.
    let requests = fake.requests();
    assert!(requests.iter().any(|request| {
        request.starts_with(&format!("PUT {ENVIRONMENT} {{")) && request.contains("\"name\":\"api\"")
    }));
    assert!(requests.contains(&format!("POST {ENVIRONMENT}/services/api/builds?commit=abc123")));
    assert!(requests.contains(&"GET /v1/events?after=10&follow=true".to_owned()), "{requests:#?}");
    let uploads = fake.uploads();
    let mut archive = tar::Archive::new(&uploads[0][..]);
    let names: Vec<String> = archive
        .entries()
        .expect("is an archive")
        .map(|entry| entry.expect("is one").path().expect("has one").display().to_string())
        .collect();
    assert_eq!(names, [".dockerignore", "Dockerfile", "havre.toml", "main.js"]);
}

#[tokio::test]
async fn a_build_that_fails_shows_its_step_and_last_lines() {
    let fake = Fake::start().await;
    let run = building(&fake).await;
    fake.end("/v1/builds/b4/log");
    let failed = json!({"state": "failed", "at": "2026-11-24T10:00:00.000Z", "reason": "exit code 1",
        "step": "RUN npm ci", "last_lines": ["npm error code E404", "npm error not found"]});
    fake.answer("GET /v1/builds/b4", 200, build(&failed));
    fake.event(12, build_is(failed));
    let (code, stdout, stderr) = run.end().await;
    assert_snapshot!("build_fails", stderr);
    assert_eq!((code, stdout.as_str()), (1, ""));
}

#[tokio::test]
async fn a_deployment_that_fails_shows_why() {
    let fake = Fake::start().await;
    fake.one_service();
    let run = fake.run(&["deploy", "--json"]);
    fake.wait_for("GET /v1/events", 1).await;
    fake.end("/v1/builds/b4/log");
    fake.answer("GET /v1/builds/b4", 200, build(&built()["to"]));
    fake.event(11, requested());
    fake.event(12, built());
    let reason =
        json!({"code": "never_healthy", "task": "t3", "probe": "status 500", "last_lines": ["boom"]});
    let failed = json!({"state": "failed", "at": "2026-11-24T10:00:00.000Z", "reason": reason});
    fake.event(13, json!({"room": "deployment", "type": "state_changed", "deployment": "d7", "to": failed}));
    let (code, stdout, stderr) = run.end().await;
    assert_eq!(code, 1);
    assert!(
        stderr.ends_with("api failed: t3 did not become healthy in time: status 500\n  | boom"),
        "{stderr}"
    );
    assert_snapshot!(stdout, @r#"{"service":"api","build":"b4","deployment":"d7","release":"r8","outcome":"failed","reason":"t3 did not become healthy in time: status 500","last_lines":["boom"]}"#);
}

#[tokio::test]
async fn superseded_by_a_newer_one() {
    let fake = Fake::start().await;
    let run = building(&fake).await;
    fake.end("/v1/builds/b4/log");
    let over = json!({"state": "superseded", "at": "2026-11-24T10:00:00.000Z", "by": "b5"});
    fake.answer("GET /v1/builds/b4", 200, build(&over));
    fake.event(12, build_is(over));
    let (code, _, stderr) = run.end().await;
    assert_eq!(code, 1);
    assert!(stderr.ends_with("api: b4 was superseded by build b5"), "{stderr}");
}

#[tokio::test]
async fn a_restart_of_the_server_is_only_a_pause() {
    let mut fake = Fake::start().await;
    let mut run = building(&fake).await;
    fake.event(12, requested());
    fake.event(13, built());
    run.until("d7 built").await;
    fake.kill().await;
    run.until("trying again, nothing is lost").await;
    // While it is away the deployment goes on, and the log has one more line.
    fake.push("/v1/builds/b4/log", log_line("2/2 COPY", "done"));
    fake.end("/v1/builds/b4/log");
    fake.answer("GET /v1/builds/b4", 200, build(&built()["to"]));
    fake.event(14, deployment_is("starting"));
    fake.event(15, deployment_is("switching"));
    fake.answer(
        "GET /v1/deployments/d7",
        200,
        deployment(json!({"state": "switching", "since": "2026-11-24T10:00:00.000Z"}), ""),
    );
    fake.bind().await;
    run.until("connected again").await;
    run.until("d7 switching").await;
    fake.event(16, deployment_is("succeeded"));
    let (code, _, stderr) = run.end().await;
    assert_eq!(code, 0, "{stderr}");
    assert!(
        fake.requests().contains(&"GET /v1/events?after=13&follow=true".to_owned()),
        "{:#?}",
        fake.requests()
    );
    assert_eq!(stderr.matches("1/2 FROM scratch").count(), 1, "a line of the log is shown once: {stderr}");
    assert_eq!(stderr.matches("2/2 COPY").count(), 1, "no line of the log is lost: {stderr}");
    assert_eq!(stderr.matches("d7 starting").count(), 1, "every state is shown once: {stderr}");
}

#[tokio::test]
async fn an_end_that_is_only_seen_by_looking() {
    let fake = Fake::start().await;
    fake.one_service();
    // The event of the end is older than the cursor, as after a prune of the event log.
    let over = json!({"state": "cancelled", "at": "2026-11-24T10:00:00.000Z"});
    fake.answer("GET /v1/builds/b4", 200, build(&over));
    fake.end("/v1/builds/b4/log");
    let (code, _, stderr) = fake.finish(&["deploy"]).await;
    assert_eq!(code, 1);
    assert!(stderr.ends_with("api: b4 was cancelled after TIME"), "{stderr}");
}

#[tokio::test]
async fn ctrl_c_says_that_it_goes_on() {
    let fake = Fake::start().await;
    let run = building(&fake).await;
    let id = run.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
    let pid = rustix::process::Pid::from_raw(id).expect("is one");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let (code, stdout, stderr) = run.end().await;
    let last: Vec<&str> = stderr.lines().rev().take(3).collect();
    assert_eq!(
        last,
        [
            "  stop it:   havre cancel b4",
            "  see it:    havre status --project shop --env production",
            "not followed any more; the deployment goes on on the server."
        ]
    );
    assert_eq!((code, stdout.as_str()), (130, ""));
}

#[tokio::test]
async fn detached_and_dry() {
    let fake = Fake::start().await;
    fake.one_service();
    let (code, stdout, stderr) = fake.finish(&["deploy", "--detach"]).await;
    assert_eq!((code, stdout.as_str()), (0, "api b4\n"));
    assert!(stderr.ends_with("it goes on by itself; see it with `havre status`"), "{stderr}");

    let (code, stdout, _) = fake.finish(&["deploy", "--dry-run"]).await;
    assert_eq!((code, fake.uploads().len()), (0, 1), "a dry run uploads nothing");
    assert!(stdout.starts_with("+ api created\napi: upload 4 files, "), "{stdout}");
    let last = fake.requests().pop().expect("it asked");
    assert!(last.contains("\"dry_run\":true"), "{last}");
}

#[tokio::test]
async fn one_image_this_one_time() {
    let fake = Fake::start().await;
    fake.one_service();
    let (code, _, stderr) =
        fake.finish(&["deploy", "--image", "registry.example:5000/api:2", "--detach"]).await;
    assert_eq!(code, 0, "{stderr}");
    let request = format!(
        "POST {ENVIRONMENT}/services/api/builds?commit=abc123&image=registry.example%3A5000%2Fapi%3A2"
    );
    assert!(fake.requests().contains(&request), "{:#?}", fake.requests());
    assert!(fake.uploads()[0].is_empty(), "an image needs no context");
}

#[tokio::test]
async fn nothing_is_applied_when_the_context_is_wrong() {
    let fake = Fake::start().await;
    fake.one_service();
    std::fs::remove_file(fake.folder.path().join("project/Dockerfile")).expect("it was there");
    let (code, _, stderr) = fake.finish(&["deploy"]).await;
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: there is no FOLDER/project/Dockerfile
      havre.toml names it as `dockerfile`; without that key Havre writes one
    ");
    assert_eq!(fake.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_refuses_the_upload() {
    let fake = Fake::start().await;
    fake.one_service();
    let body = json!({"code": "context_too_large", "message": "the build context is over 1MB",
        "hint": "leave files out with a .dockerignore"});
    fake.answer(&format!("POST {ENVIRONMENT}/services/api/builds"), 413, body);
    let (code, _, stderr) = fake.finish(&["deploy"]).await;
    assert_eq!(code, 2);
    assert!(
        stderr.ends_with("error: the build context is over 1MB\n  leave files out with a .dockerignore"),
        "{stderr}"
    );
}

#[tokio::test]
async fn rollback_is_followed() {
    let fake = Fake::start().await;
    let plan = json!({"from": "r8", "to": "r7", "steps": ["start 1 task of r7"], "warnings": ["api: old"]});
    let accepted = json!({"deployment": deployment(json!({"state": "pending"}), ""), "plan": plan});
    fake.answer(&format!("POST {ENVIRONMENT}/services/api/rollback"), 202, accepted);
    fake.answer("GET /v1/deployments/d7", 200, deployment(json!({"state": "pending"}), ""));
    let mut run = fake.run(&["rollback", "api", "r7", "--project", "shop"]);
    run.until("d7 pending").await;
    fake.event(11, deployment_is("switching"));
    fake.event(12, deployment_is("succeeded"));
    let (code, stdout, stderr) = run.end().await;
    assert_snapshot!(stderr, @r"
    note: api: old
    api: d7 pending
    api: d7 switching
    api: d7 succeeded in TIME, r8 is live
    ");
    assert_eq!((code, stdout.as_str()), (0, ""));
    let request =
        format!("POST {ENVIRONMENT}/services/api/rollback {{\"release\":\"r7\",\"dry_run\":false}}");
    assert!(fake.requests().contains(&request), "{:#?}", fake.requests());
}

#[tokio::test]
async fn a_dry_rollback_prints_its_plan() {
    let fake = Fake::start().await;
    let plan = json!({"from": "r8", "to": "r7", "steps": ["start 1 task of r7", "switch"], "warnings": []});
    fake.answer(&format!("POST {ENVIRONMENT}/services/api/rollback"), 200, json!({"plan": plan}));
    let (code, stdout, _) = fake.finish(&["rollback", "api", "--dry-run", "--project", "shop"]).await;
    assert_eq!((code, stdout.as_str()), (0, "api: r8 -> r7\n  1. start 1 task of r7\n  2. switch\n"));
}
