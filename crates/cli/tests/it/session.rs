//! `havre exec` and `havre run` over a real WebSocket.

use std::process::Stdio;

use futures_util::{SinkExt as _, StreamExt as _};
use havre_api::task::{STDERR, STDIN, STDOUT};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{Fake, Run};

/// Takes one session: answers input in capitals until it ends, then ends with this frame. Gives back the request.
async fn session(listener: UnixListener, last: Value) -> (Value, Vec<Value>) {
    let (stream, _) = listener.accept().await.expect("it connects");
    let mut socket = tokio_tungstenite::accept_async(stream).await.expect("it upgrades");
    let Some(Ok(Message::Text(first))) = socket.next().await else { panic!("no request") };
    let request: Value = serde_json::from_str(&first).expect("is JSON");
    socket.send(Message::text(json!({"type": "started"}).to_string())).await.expect("it listens");
    let mut told = Vec::new();
    while let Some(Ok(frame)) = socket.next().await {
        match frame {
            Message::Binary(bytes) => {
                assert_eq!(bytes[0], STDIN);
                let mut answer = vec![STDOUT];
                answer.extend(bytes[1..].to_ascii_uppercase());
                socket.send(Message::binary(answer)).await.expect("it listens");
            }
            Message::Text(text) => {
                told.push(serde_json::from_str(&text).expect("is JSON"));
                let mut warning = vec![STDERR];
                warning.extend(b"careful\n");
                socket.send(Message::binary(warning)).await.expect("it listens");
                socket.send(Message::text(last.to_string())).await.expect("it listens");
                let _ = socket.close(None).await;
            }
            _ => {}
        }
    }
    (request, told)
}

async fn run(arguments: &[&str], input: &[u8], last: Value) -> ((i32, String, String), Value, Vec<Value>) {
    let mut fake = Fake::start().await;
    fake.kill().await;
    let listener = UnixListener::bind(fake.socket()).expect("the socket is free");
    let server = tokio::spawn(session(listener, last));
    let mut command = fake.command(arguments);
    command.stdin(Stdio::piped());
    let mut run = Run::new(command, fake.folder.path());
    let mut stdin = run.child.stdin.take().expect("is piped");
    let input = input.to_vec();
    let typed = tokio::spawn(async move { stdin.write_all(&input).await.expect("it reads") });
    let ended = run.end().await;
    typed.await.expect("all of it was read");
    let (request, told) = server.await.expect("the server did not panic");
    (ended, request, told)
}

#[tokio::test]
async fn exec_carries_bytes_both_ways_and_the_exit_code() {
    let arguments =
        ["exec", "api", "--project", "shop", "--task", "t3", "--set", "A=b=c", "--", "tr", "a-z", "A-Z"];
    let (ended, request, told) = run(&arguments, b"hello\n", json!({"type": "exit", "code": 7})).await;
    assert_eq!(ended, (7, "HELLO\n".to_owned(), "careful".to_owned()));
    assert_eq!(request, json!({"argv": ["tr", "a-z", "A-Z"], "task": "t3", "env": {"A": "b=c"}}));
    assert_eq!(told, [json!({"type": "end_of_input"})]);
}

#[tokio::test]
async fn run_asks_for_a_task_of_its_own() {
    let arguments = ["run", "api", "--project", "shop", "--release", "r7", "--", "node", "report.js"];
    let (ended, request, _) = run(&arguments, b"", json!({"type": "exit", "code": 0})).await;
    assert_eq!((ended.0, ended.1.as_str()), (0, ""));
    assert_eq!(request, json!({"argv": ["node", "report.js"], "release": "r7"}));
}

#[tokio::test]
async fn large_input_goes_in_frames_the_server_takes() {
    let input = vec![b'x'; 1_000_000];
    let (ended, _, _) =
        run(&["exec", "api", "--project", "shop", "--", "cat"], &input, json!({"type": "exit", "code": 0}))
            .await;
    assert_eq!((ended.0, ended.1.len()), (0, 1_000_000));
}

#[tokio::test]
async fn a_refusal_ends_with_its_exit_code() {
    let error = json!({"code": "task_not_found", "message": "there is no t9", "hint": ""});
    let last = json!({"type": "refused", "error": error});
    let (ended, _, _) = run(&["exec", "api", "--project", "shop", "--", "true"], b"", last).await;
    assert_eq!((ended.0, ended.2.as_str()), (5, "careful\nerror: there is no t9"));
}

#[tokio::test]
async fn a_server_without_websockets_refuses() {
    let fake = Fake::start().await;
    let (code, _, stderr) = fake.finish(&["exec", "api", "--project", "shop", "--", "true"]).await;
    assert_eq!(code, 5, "{stderr}");
}
