//! `havre events` and `havre logs`: what is streamed, merged and followed.

use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, Fake, event};

fn line(second: u32, task: &str, text: &str) -> Value {
    json!({"at": format!("2026-11-24T10:00:{second:02}.000Z"), "task": task, "release": "r7", "stream": "stdout",
        "line": text})
}

#[tokio::test]
async fn logs_of_services_are_merged_by_time() {
    let fake = Fake::start().await;
    fake.stream(
        &format!("{ENVIRONMENT}/services/api/logs"),
        &[line(1, "t1", "one"), line(3, "t2", "three")],
        true,
    );
    fake.stream(&format!("{ENVIRONMENT}/services/mail/logs"), &[line(2, "t3", "two")], true);
    let (code, stdout, _) = fake.finish(&["logs", "api", "mail", "--project", "shop", "--tail", "5"]).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(stdout, @r"
    2026-11-24T10:00:01.000Z api  t1 r7 | one
    2026-11-24T10:00:02.000Z mail t3 r7 | two
    2026-11-24T10:00:03.000Z api  t2 r7 | three
    ");
    let asked = format!("GET {ENVIRONMENT}/services/api/logs?follow=false&tail=5");
    assert!(fake.requests().contains(&asked), "{:#?}", fake.requests());
}

#[tokio::test]
async fn logs_as_json_lines() {
    let fake = Fake::start().await;
    fake.stream(&format!("{ENVIRONMENT}/services/api/logs"), &[line(1, "t1", "one")], true);
    let (code, stdout, _) = fake.finish(&["logs", "api", "--project", "shop", "--json"]).await;
    let parsed: Value = serde_json::from_str(&stdout).expect("is one JSON line");
    let mut wanted = line(1, "t1", "one");
    wanted["service"] = "api".into();
    assert_eq!((code, parsed), (0, wanted));
}

#[tokio::test]
async fn a_stream_that_the_server_breaks_off_is_an_error() {
    let fake = Fake::start().await;
    let end =
        json!({"error": {"code": "unavailable", "message": "Docker is not running", "hint": "start it"}});
    fake.stream(&format!("{ENVIRONMENT}/services/api/logs"), &[line(1, "t1", "one"), end], true);
    let (code, stdout, stderr) = fake.finish(&["logs", "api", "--project", "shop"]).await;
    assert_eq!((code, stdout.lines().count()), (1, 1), "what arrived is shown");
    assert_eq!(stderr, "error: Docker is not running\n  start it");
}

#[tokio::test]
async fn an_unknown_service_has_no_logs() {
    let fake = Fake::start().await;
    let (code, _, _) = fake.finish(&["logs", "nope", "-f", "--project", "shop"]).await;
    assert_eq!(code, 5);
}

#[tokio::test]
async fn followed_events_go_on_after_a_restart() {
    let mut fake = Fake::start().await;
    let kind = json!({"room": "service", "type": "created"});
    fake.event(11, kind.clone());
    let mut run = fake.run(&["events", "-f", "--after", "10", "--json"]);
    fake.wait_for("GET /v1/events?after=10", 1).await;
    let mut out = tokio::io::BufReader::new(run.child.stdout.take().expect("is piped"));
    let first = next_line(&mut out).await;
    assert_eq!(first["seq"], 11);
    fake.kill().await;
    run.until("trying again, nothing is lost").await;
    fake.push("/v1/events", event(12, "s1", kind.clone()));
    fake.bind().await;
    assert_eq!(next_line(&mut out).await["seq"], 12);
    assert!(fake.requests().contains(&"GET /v1/events?after=11&follow=true".to_owned()));
}

async fn next_line(out: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Value {
    use tokio::io::AsyncBufReadExt as _;
    let mut text = String::new();
    let read = tokio::time::timeout(crate::world::PATIENCE, out.read_line(&mut text)).await;
    read.expect("a line in time").expect("is text");
    serde_json::from_str(&text).expect("is JSON")
}
