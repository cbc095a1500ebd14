//! Tunnels: the daemon is told who asks, for what and how long; what it hands over goes through the session, and nobody gets there without a token.

use axum::body::{Body, Bytes};
use futures_util::{SinkExt as _, StreamExt as _};
use havre_api::task::{STDIN, STDOUT};
use havre_web::task::streams::{ExecInput, ExecOutput, ExecSession, TaskStreamError};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{ENVIRONMENT, World, read, send, soon};

async fn world() -> World {
    let world = World::new();
    let db = json!({ "name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1" });
    let (status, body) = world.ask("PUT", ENVIRONMENT, json!({ "services": [], "databases": [db] })).await;
    assert_eq!(status, 200, "{body}");
    world
}

/// A WebSocket on a real server, with its first frame sent.
async fn connect(world: &World, path: &str, first: Value) -> WebSocketStream<TcpStream> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(havre_web::serve::serve(listener, world.local.clone(), 10, world.stop.clone()));
    let stream = TcpStream::connect(address).await.expect("a connection");
    let opened = tokio_tungstenite::client_async(format!("ws://{address}{path}"), stream).await;
    let mut client = opened.expect("a WebSocket").0;
    client.send(Message::Text(first.to_string().into())).await.expect("is sent");
    client
}

async fn text(client: &mut WebSocketStream<TcpStream>) -> Value {
    match soon(client.next()).await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("a text frame was expected, not {other:?}"),
    }
}

fn plant(world: &World, session: Result<ExecSession, TaskStreamError>) {
    world.streams.sessions.lock().expect("no holder panics").push_back(session);
}

fn session() -> (ExecSession, mpsc::Receiver<ExecInput>, mpsc::Sender<ExecOutput>) {
    let (input, stdin) = mpsc::channel(1);
    let (stdout, output) = mpsc::channel(1);
    (ExecSession { task: None, input, output }, stdin, stdout)
}

#[tokio::test]
async fn it_is_held_by_its_session_and_bytes_go_through_another() {
    let world = world().await;
    let (held, _stdin, stdout) = session();
    plant(&world, Ok(held));
    let mut holder =
        connect(&world, &format!("{ENVIRONMENT}/databases/db/tunnel"), json!({ "hours": 2 })).await;
    assert_eq!(text(&mut holder).await["type"], "started");
    stdout.send(ExecOutput::Stdout(Bytes::from("{}\n"))).await.expect("is read");
    let grant = soon(holder.next()).await.expect("a frame").expect("no error");
    assert_eq!(grant, Message::Binary([&[STDOUT], &b"{}\n"[..]].concat().into()));

    let (way, mut stdin, _stdout) = session();
    plant(&world, Ok(way));
    let mut client = connect(&world, "/v1/tunnels/n1/connection", json!({})).await;
    assert_eq!(text(&mut client).await["type"], "started");
    client.send(Message::Binary(vec![STDIN, b'h', b'i'].into())).await.expect("is sent");
    assert_eq!(soon(stdin.recv()).await, Some(ExecInput::Stdin(Bytes::from("hi"))));
    assert_eq!(
        *world.streams.asked_for_databases.lock().expect("no holder panics"),
        ["m1 tunnel local {\"hours\":2}", "n1 connect local"]
    );
    // Whoever goes lets go of the tunnel.
    drop(holder);
    soon(stdout.closed()).await;
}

#[tokio::test]
async fn what_is_refused_is_said() {
    let world = world().await;
    plant(&world, Err(TaskStreamError::NotRunning("8 tunnels are open already".to_owned())));
    let mut client = connect(&world, &format!("{ENVIRONMENT}/databases/db/tunnel"), json!({})).await;
    let said = text(&mut client).await;
    assert_eq!(
        (&said["type"], &said["error"]["code"]),
        (&json!("refused"), &json!("task_not_running")),
        "{said}"
    );

    let mut client = connect(&world, "/v1/tunnels/n1/connection", json!({ "shell": true })).await;
    let said = text(&mut client).await;
    assert_eq!(said["error"]["code"], "body_invalid", "{said}");

    let path = format!("{ENVIRONMENT}/databases/db/tunnel");
    for path in [path.as_str(), "/v1/tunnels/n1/connection"] {
        let (status, body) = read(send(&world.public, "GET", path, &[], Body::empty()).await).await;
        assert_eq!((status, &body["code"]), (401, &json!("unauthorised")), "{path}");
    }
}
