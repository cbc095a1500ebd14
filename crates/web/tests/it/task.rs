//! Logs and command sessions, with a fake for what the daemon hands over.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{SinkExt as _, StreamExt as _};
use havre_api::task::{LogEntry, LogStream, STDERR, STDIN, STDOUT, TerminalSize};
use havre_core::id::{ReleaseId, TaskId};
use havre_core::time::Timestamp;
use havre_web::Limits;
use havre_web::task::streams::{ExecInput, ExecOutput, ExecSession, TaskStreamError};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{ENVIRONMENT, LineReader, START, World, send, soon, tasks};

fn entry(line: &str) -> LogEntry {
    LogEntry {
        at: Timestamp::from_millis(START),
        task: TaskId::new(3),
        release: ReleaseId::new(7),
        stream: LogStream::Stderr,
        line: line.to_owned(),
    }
}

fn wire(line: &str) -> Value {
    json!({ "at": "2026-11-24T10:00:00.000Z", "task": "t3", "release": "r7", "stream": "stderr", "line": line })
}

async fn world() -> World {
    let world = World::with(Limits { keep_alive: Duration::from_millis(100), ..Limits::default() });
    world.apply(&[tasks("api", "api.example")]).await;
    world
}

fn asked(world: &World) -> Vec<String> {
    world
        .streams
        .asked
        .lock()
        .expect("no holder panics")
        .iter()
        .map(|(service, what)| format!("{service} {what}"))
        .collect()
}

#[tokio::test]
async fn logs_are_streamed_and_a_break_is_said() {
    let world = world().await;
    let (sender, receiver) = mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    world.streams.logs.lock().expect("no holder panics").push_back(Ok(stream));
    let path = format!("{ENVIRONMENT}/services/api/logs");
    let query = "?follow=true&since=2026-11-24T09:00:00Z&tail=5&task=t3";
    let response = send(&world.local, "GET", &format!("{path}{query}"), &[], Body::empty()).await;
    let mut lines = LineReader::new(response);
    assert_eq!(lines.raw().await.as_deref(), Some(""));
    sender.send(Ok(entry("one"))).await.expect("is read");
    assert_eq!(lines.next().await, Some(wire("one")));
    sender
        .send(Err(TaskStreamError::Unavailable("docker does not answer".to_owned())))
        .await
        .expect("is read");
    assert_eq!(
        lines.next().await,
        Some(json!({ "error": { "code": "unavailable", "message": "docker does not answer", "hint": "" } }))
    );
    assert_eq!(lines.next().await, None);
    assert_eq!(
        asked(&world),
        ["s1 logs {\"follow\":true,\"since\":\"2026-11-24T09:00:00.000Z\",\"tail\":5,\"task\":\"t3\"}"]
    );

    let none = TaskStreamError::NotFound("there is no task t9".to_owned());
    world.streams.logs.lock().expect("no holder panics").push_back(Err(none));
    let (status, body) = world.get(&path).await;
    assert_eq!((status, &body["code"]), (404, &json!("task_not_found")));
    assert_eq!(asked(&world)[1], "s1 logs {\"follow\":false,\"tail\":100}", "a bounded answer by default");
    let (status, body) = world.get(&format!("{path}?tail=10001")).await;
    assert_eq!((status, &body["code"]), (400, &json!("query_invalid")));
}

#[tokio::test]
async fn a_client_that_goes_ends_the_log_stream() {
    let world = world().await;
    let (sender, receiver) = mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    world.streams.logs.lock().expect("no holder panics").push_back(Ok(stream));
    let path = format!("{ENVIRONMENT}/services/api/logs?follow=true");
    drop(send(&world.local, "GET", &path, &[], Body::empty()).await);
    soon(sender.closed()).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let world = World::with(Limits { slow_client: Duration::from_millis(50), ..Limits::default() });
    world.apply(&[tasks("api", "api.example")]).await;
    let (sender, receiver) = mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    world.streams.logs.lock().expect("no holder panics").push_back(Ok(stream));
    let path = format!("{ENVIRONMENT}/services/api/logs?follow=true");
    let unread = send(&world.local, "GET", &path, &[], Body::empty()).await;
    soon(async { while sender.send(Ok(entry("again and again"))).await.is_ok() {} }).await;
    drop(unread);

    let (_stdin, stdout) = plant(&world, None);
    let mut client = connect(&world, "run").await;
    say(&mut client, json!({ "argv": ["yes"] })).await;
    soon(async { while stdout.send(ExecOutput::Stdout(vec![b'y'; 65_536].into())).await.is_ok() {} }).await;
    drop(client);
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_dropped() {
    let world = World::with(Limits { keep_alive: Duration::from_millis(20), ..Limits::default() });
    world.apply(&[tasks("api", "api.example")]).await;
    let (_stdin, stdout) = plant(&world, None);
    let mut client = connect(&world, "run").await;
    say(&mut client, json!({ "argv": ["sleep"] })).await;
    // Not read, so its pings stay without an answer; the connection itself is fine.
    soon(stdout.closed()).await;
    drop(client);
}

type Client = WebSocketStream<TcpStream>;

/// A WebSocket on a real server.
async fn connect(world: &World, verb: &str) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(havre_web::serve::serve(listener, world.local.clone(), 10, world.stop.clone()));
    let stream = TcpStream::connect(address).await.expect("a connection");
    let url = format!("ws://{address}{ENVIRONMENT}/services/api/{verb}");
    tokio_tungstenite::client_async(url, stream).await.expect("a WebSocket").0
}

/// The next frame that is not a ping.
async fn frame(client: &mut Client) -> Option<Message> {
    loop {
        match soon(client.next()).await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(frame)) => return Some(frame),
            Some(Err(_)) | None => return None,
        }
    }
}

async fn text(client: &mut Client) -> Value {
    match frame(client).await {
        Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("a text frame was expected, not {other:?}"),
    }
}

async fn say(client: &mut Client, value: Value) {
    client.send(Message::Text(value.to_string().into())).await.expect("is sent");
}

/// Plants a session; the command's own ends of it.
fn plant(world: &World, task: Option<TaskId>) -> (mpsc::Receiver<ExecInput>, mpsc::Sender<ExecOutput>) {
    let (input, stdin) = mpsc::channel(1);
    let (stdout, output) = mpsc::channel(1);
    world.streams.sessions.lock().expect("no holder panics").push_back(Ok(ExecSession {
        task,
        input,
        output,
    }));
    (stdin, stdout)
}

#[tokio::test]
async fn a_command_from_start_to_exit() {
    let world = world().await;
    let (mut stdin, stdout) = plant(&world, Some(TaskId::new(3)));
    let mut client = connect(&world, "exec").await;
    say(&mut client, json!({ "argv": ["sh", "-c", "cat"], "terminal": { "columns": 80, "rows": 24 } })).await;
    assert_eq!(text(&mut client).await, json!({ "type": "started", "task": "t3" }));
    client.send(Message::Binary(vec![STDIN, b'h', b'i'].into())).await.expect("is sent");
    say(&mut client, json!({ "type": "resize", "columns": 100, "rows": 30 })).await;
    say(&mut client, json!({ "type": "end_of_input" })).await;
    assert_eq!(soon(stdin.recv()).await, Some(ExecInput::Stdin(Bytes::from("hi"))));
    assert_eq!(soon(stdin.recv()).await, Some(ExecInput::Resize(TerminalSize { columns: 100, rows: 30 })));
    assert_eq!(soon(stdin.recv()).await, Some(ExecInput::End));
    // The command may close its input long before it ends.
    drop(stdin);
    client.send(Message::Binary(vec![STDIN, b'x'].into())).await.expect("is sent");
    stdout.send(ExecOutput::Stdout(Bytes::from("out"))).await.expect("is read");
    stdout.send(ExecOutput::Stderr(Bytes::from("err"))).await.expect("is read");
    stdout.send(ExecOutput::Exit(3)).await.expect("is read");
    assert_eq!(frame(&mut client).await, Some(Message::Binary([&[STDOUT], &b"out"[..]].concat().into())));
    assert_eq!(frame(&mut client).await, Some(Message::Binary([&[STDERR], &b"err"[..]].concat().into())));
    assert_eq!(text(&mut client).await, json!({ "type": "exit", "code": 3 }));
    assert!(matches!(frame(&mut client).await, Some(Message::Close(_))));
    assert_eq!(
        asked(&world),
        ["s1 exec {\"argv\":[\"sh\",\"-c\",\"cat\"],\"terminal\":{\"columns\":80,\"rows\":24}}"]
    );
}

#[tokio::test]
async fn large_output_comes_in_bounded_frames() {
    let world = world().await;
    let (_stdin, stdout) = plant(&world, None);
    let mut client = connect(&world, "run").await;
    say(&mut client, json!({ "argv": ["report"], "env": { "A": "b" } })).await;
    assert_eq!(text(&mut client).await, json!({ "type": "started" }));
    let large = Bytes::from(vec![b'x'; 300_000]);
    stdout.send(ExecOutput::Stdout(large)).await.expect("is read");
    let mut received = 0;
    while received < 300_000 {
        let Some(Message::Binary(bytes)) = frame(&mut client).await else { panic!("bytes were expected") };
        assert!(bytes.len() <= havre_api::task::FRAME_MAX);
        received += bytes.len() - 1;
    }
    assert_eq!(received, 300_000);
    assert_eq!(asked(&world), ["s1 run {\"argv\":[\"report\"],\"env\":{\"A\":\"b\"}}"]);
}

#[tokio::test]
async fn what_cannot_start_is_refused_in_the_session() {
    let world = world().await;
    let none = TaskStreamError::NotRunning("dropit/production/api has no running task".to_owned());
    world.streams.sessions.lock().expect("no holder panics").push_back(Err(none));
    let cases = [
        (json!({ "argv": ["ls"] }), "task_not_running", "dropit/production/api has no running task"),
        (
            json!({ "argv": [] }),
            "body_invalid",
            "the request is wrong: a command is a list of 1 to 256 words",
        ),
        (json!({ "argv": ["ls"], "tty": true }), "body_invalid", "the request is wrong: unknown field `tty`"),
    ];
    for (request, code, message) in cases {
        let mut client = connect(&world, "exec").await;
        say(&mut client, request.clone()).await;
        let answer = text(&mut client).await;
        assert_eq!(
            (&answer["type"], &answer["error"]["code"]),
            (&json!("refused"), &json!(code)),
            "{request}"
        );
        let text = answer["error"]["message"].as_str().expect("text");
        assert!(text.starts_with(message), "{text}");
        assert!(matches!(frame(&mut client).await, Some(Message::Close(_))));
    }
    let (status, body) = world.get(&format!("{ENVIRONMENT}/services/api/exec")).await;
    assert_eq!((status, &body["code"]), (400, &json!("body_invalid")));
}

#[tokio::test]
async fn a_client_that_goes_ends_the_command_and_so_does_the_server() {
    let world = world().await;
    let (_stdin, stdout) = plant(&world, None);
    let mut client = connect(&world, "run").await;
    say(&mut client, json!({ "argv": ["sleep"] })).await;
    text(&mut client).await;
    drop(client);
    soon(stdout.closed()).await;

    let (_stdin, stdout) = plant(&world, None);
    let mut client = connect(&world, "run").await;
    say(&mut client, json!({ "argv": ["sleep"] })).await;
    text(&mut client).await;
    world.stop.cancel();
    let answer = text(&mut client).await;
    assert_eq!(answer["error"]["message"], "the server is stopping; the command was ended");
    soon(stdout.closed()).await;
}

#[tokio::test]
async fn a_wrong_frame_ends_the_session() {
    let world = world().await;
    for wrong in [Message::Binary(vec![STDOUT, b'x'].into()), Message::Text("{}".into())] {
        let (_stdin, stdout) = plant(&world, None);
        let mut client = connect(&world, "run").await;
        say(&mut client, json!({ "argv": ["cat"] })).await;
        text(&mut client).await;
        client.send(wrong).await.expect("is sent");
        assert_eq!(text(&mut client).await["error"]["code"], "body_invalid");
        soon(stdout.closed()).await;
    }
}
