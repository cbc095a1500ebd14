//! Contexts taken in, builds queued, logs followed.

use std::time::Duration;

use axum::body::{Body, Bytes};
use havre_core::build::State;
use havre_core::id::BuildId;
use havre_core::time::Timestamp;
use havre_web::Limits;
use havre_web::build::intake::IntakeError;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::world::{ENVIRONMENT, LineReader, START, World, read, send, site, soon, tasks, until};

const BUILDS: &str = "/v1/projects/dropit/environments/production/services/api/builds";

async fn world_with(limits: Limits) -> World {
    let world = World::with(limits);
    world.apply(&[tasks("api", "api.example"), site("web", "web.example")]).await;
    world
}

async fn count_builds(world: &World) -> usize {
    let (_, body) = world.get(BUILDS).await;
    body["builds"].as_array().expect("builds").len()
}

#[tokio::test]
async fn a_context_becomes_a_queued_build() {
    let world = world_with(Limits::default()).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = Body::from_stream(ReceiverStream::new(receiver));
    let upload = tokio::spawn({
        let local = world.local.clone();
        async move { read(send(&local, "POST", &format!("{BUILDS}?commit=abc123"), &[], body).await).await }
    });
    for part in ["first ", "second"] {
        sender.send(Ok(Bytes::from(part))).await.expect("is read");
    }
    assert_eq!(count_builds(&world).await, 0, "no build before its context is complete");
    drop(sender);
    let (status, body) = soon(upload).await.expect("no panic");
    let build = json!({
        "id": "b1", "service_id": "s1",
        "place": { "project": "dropit", "environment": "production", "service": "api" },
        "revision": 1, "commit": "abc123", "state": { "state": "queued" }, "waiting": "",
        "created_at": "2026-11-24T10:00:00.000Z",
    });
    assert_eq!((status, body), (202, json!({ "build": build })));
    assert_eq!(world.intake.files(), ["b1.tar"]);
    let kept = std::fs::read_to_string(world.folder.path().join("b1.tar")).expect("the context");
    assert_eq!(kept, "first second");
    assert_eq!(world.get("/v1/builds/b1").await, (200, build.clone()));
    assert_eq!(world.get(BUILDS).await, (200, json!({ "builds": [build] })));
}

#[tokio::test]
async fn an_image_by_its_name() {
    let world = world_with(Limits::default()).await;
    let (status, _) = world.ask("POST", &format!("{BUILDS}?image=nginx:1"), Value::Null).await;
    assert_eq!((status, world.intake.files()), (202, vec![]));
    let row = world.store.read(|view| view.get_build(BuildId::new(1))).await.expect("the build");
    let source = serde_json::to_value(&row.spec.tasks().expect("tasks").source).expect("JSON");
    assert_eq!(source, json!({ "kind": "image", "reference": "nginx:1" }));
    // The configuration keeps its own source.
    assert_eq!(world.service("api").await.revision, 1);

    let web = BUILDS.replace("/api/", "/web/");
    let cases = [
        (format!("{BUILDS}?image=-v"), "", 422, "image_invalid"),
        (format!("{web}?image=nginx:1"), "", 422, "image_invalid"),
        (format!("{BUILDS}?image=nginx:1"), "not empty", 422, "context_invalid"),
        (format!("{BUILDS}?commit=a%20b"), "", 400, "query_invalid"),
        (format!("{BUILDS}?commit={}", "a".repeat(65)), "", 400, "query_invalid"),
    ];
    for (path, body, status, code) in cases {
        let (got, answer) = read(send(&world.local, "POST", &path, &[], body.into()).await).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{path}");
    }
    assert_eq!(count_builds(&world).await, 1);
}

#[tokio::test]
async fn over_the_limit() {
    let world = world_with(Limits { context_bytes: 1024, ..Limits::default() }).await;
    let (status, body) = read(send(&world.local, "POST", BUILDS, &[], vec![0; 1025].into()).await).await;
    assert_eq!(
        (status, body),
        (
            413,
            json!({
                "code": "context_too_large",
                "message": "the build context is over 1KB",
                "hint": "leave files out with a .dockerignore",
            })
        )
    );
    assert_eq!((world.intake.files(), count_builds(&world).await), (vec![], 0));
    let (status, _) = read(send(&world.local, "POST", BUILDS, &[], vec![0; 1024].into()).await).await;
    assert_eq!(status, 202);
    // Contexts have a limit of their own, far above that of other bodies.
    let world = world_with(Limits::default()).await;
    let (status, _) = read(send(&world.local, "POST", BUILDS, &[], vec![0; 3 << 20].into()).await).await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn a_refused_context_leaves_nothing() {
    let world = world_with(Limits::default()).await;
    let cases = [
        (
            IntakeError::Invalid("`../x` leaves the context".to_owned()),
            422,
            "context_invalid",
            "the build context is not usable: `../x` leaves the context",
        ),
        (IntakeError::NoSpace, 507, "disk_full", "the server's disk is full"),
        (
            IntakeError::Failed("planted detail".to_owned()),
            500,
            "internal",
            "the server could not answer because of an error of its own",
        ),
    ];
    for (error, status, code, message) in cases {
        *world.intake.fail_finish.lock().expect("no holder panics") = Some(error.clone());
        let (got, body) = read(send(&world.local, "POST", BUILDS, &[], "tar".into()).await).await;
        assert_eq!((got, &body["code"], &body["message"]), (status, &json!(code), &json!(message)));
        *world.intake.fail_publish.lock().expect("no holder panics") = Some(error);
        let (got, body) = read(send(&world.local, "POST", BUILDS, &[], "tar".into()).await).await;
        assert_eq!((got, &body["code"]), (status, &json!(code)));
        assert_eq!((world.intake.files(), count_builds(&world).await), (vec![], 0));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_or_falls_silent_leaves_nothing() {
    let world = world_with(Limits { upload_silence: Duration::from_millis(100), ..Limits::default() }).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    sender.send(Ok(Bytes::from("tar"))).await.expect("is taken");
    let body = Body::from_stream(ReceiverStream::new(receiver));
    let (status, answer) = read(soon(send(&world.local, "POST", BUILDS, &[], body)).await).await;
    assert_eq!((status, &answer["code"]), (408, &json!("upload_stalled")));
    assert_eq!(world.intake.files(), Vec::<String>::new());
    drop(sender);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(havre_web::serve::serve(listener, world.local.clone(), 10, world.stop.clone()));
    let mut client = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let head = format!("POST {BUILDS} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf of it");
    client.write_all(head.as_bytes()).await.expect("a write");
    until(|| !world.intake.files().is_empty()).await;
    drop(client);
    until(|| world.intake.files().is_empty()).await;
    world.stop.cancel();
    soon(server).await.expect("no panic");
    assert_eq!(count_builds(&world).await, 0);
}

#[tokio::test]
async fn the_log_is_followed_to_its_end() {
    let world = world_with(Limits { keep_alive: Duration::from_millis(200), ..Limits::default() }).await;
    send(&world.local, "POST", BUILDS, &[], "tar".into()).await;
    let log = world.folder.path().join("b1.log");
    let line = |text: &str| json!({ "at": "2026-11-24T10:00:00.000Z", "step": "[1/2] RUN", "text": text });
    let mut file = None;
    let mut write = |text: String| {
        use std::io::Write as _;
        let file = file.get_or_insert_with(|| std::fs::File::create(&log).expect("the log"));
        file.write_all(text.as_bytes()).expect("a write");
    };
    let mut lines =
        LineReader::new(send(&world.local, "GET", "/v1/builds/b1/log?follow=true", &[], Body::empty()).await);
    assert_eq!(lines.raw().await.as_deref(), Some(""), "an empty line while nothing happens");
    write(format!("{}\n{}", line("one"), line("two")));
    assert_eq!(lines.next().await, Some(line("one")));
    // A line that is being written is not shown in halves.
    assert_eq!(lines.raw().await.as_deref(), Some(""));
    write(format!("\n{}\n", line("three")));
    assert_eq!(lines.next().await, Some(line("two")));
    assert_eq!(lines.next().await, Some(line("three")));
    write(format!("{}\n", line("last")));
    let failed = State::Failed {
        at: Timestamp::from_millis(START),
        reason: "no".to_owned(),
        step: String::new(),
        last_lines: Vec::new(),
    };
    world.write(move |tx| tx.set_build_state(BuildId::new(1), &State::Queued, failed)).await;
    assert_eq!(lines.next().await, Some(line("last")));
    assert_eq!(lines.next().await, None);

    let whole = LineReader::new(send(&world.local, "GET", "/v1/builds/b1/log", &[], Body::empty()).await);
    assert_eq!(whole.all().await, [line("one"), line("two"), line("three"), line("last")]);
    let (status, body) = world.get("/v1/builds/b9/log").await;
    assert_eq!((status, &body["code"]), (404, &json!("build_not_found")));
}

#[tokio::test]
async fn a_log_that_begins_anew_is_followed() {
    let world = world_with(Limits::default()).await;
    send(&world.local, "POST", BUILDS, &[], "tar".into()).await;
    let log = world.folder.path().join("b1.log");
    std::fs::write(&log, "{\"text\":\"of the run that was cut off\"}\n").expect("the log");
    let mut lines =
        LineReader::new(send(&world.local, "GET", "/v1/builds/b1/log?follow=true", &[], Body::empty()).await);
    assert_eq!(lines.next().await, Some(json!({ "text": "of the run that was cut off" })));
    std::fs::write(&log, "{\"text\":\"again\"}\n").expect("the log");
    assert_eq!(lines.next().await, Some(json!({ "text": "again" })));
}

#[tokio::test]
async fn cancel() {
    let world = world_with(Limits::default()).await;
    send(&world.local, "POST", BUILDS, &[], "tar".into()).await;
    let (status, body) = world.ask("POST", "/v1/builds/b1/cancel", Value::Null).await;
    assert_eq!(
        (status, &body["state"]),
        (202, &json!({ "state": "cancelled", "at": "2026-11-24T10:00:00.000Z" }))
    );
    let (status, body) = world.ask("POST", "/v1/builds/b1/cancel", Value::Null).await;
    assert_eq!((status, &body["message"]), (409, &json!("b1 is over already: it is cancelled")));
    assert_eq!(world.get(&format!("{ENVIRONMENT}/services/api/builds?limit=1")).await.0, 200);
}
