//! What began before a deployment ends after it: a slow answer, server-sent events, a WebSocket, an upload.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use havre_core::deployment::state::State;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body, Frame};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::world::spec::{HOST, faults};
use crate::world::{World, assert_succeeded, until};
use havre_api::deployment::Deployment;

/// One request over a connection of its own: the whole answer as text.
async fn whole<B>(address: SocketAddr, method: Method, target: &str, body: B) -> String
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.expect("the edge listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(target).header("host", HOST).body(body);
    let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{target}");
    let body = answer.into_body().collect().await.expect("the answer is whole").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

async fn get(address: SocketAddr, target: &str) -> String {
    whole(address, Method::GET, target, Full::new(Bytes::new())).await
}

/// A body of eight pieces, one a second.
fn slow_body() -> impl Body<Data = Bytes, Error = std::io::Error> + Send + Unpin {
    let pieces = futures_util::stream::iter(0..8).then(|number: u8| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Frame::data(Bytes::from(vec![number; 1000])))
    });
    StreamBody::new(Box::pin(pieces))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_began_before_a_deploy_ends_after_it() {
    let world = World::start().await;
    let old = world.deploy_well(&faults("streams", "old")).await;
    let address = world.address;
    let slow = tokio::spawn(async move { get(address, "/slow?ms=10000&chunks=10").await });
    let events = tokio::spawn(async move { get(address, "/events?count=9").await });
    let upload = tokio::spawn(async move { whole(address, Method::POST, "/upload", slow_body()).await });
    let stream = TcpStream::connect(address).await.expect("the edge listens");
    let opened = tokio_tungstenite::client_async(format!("ws://{HOST}/ws?tick_ms=250"), stream).await;
    let (mut socket, answer) = opened.expect("a WebSocket");
    assert_eq!(
        answer.headers().get("havre-release").and_then(|value| value.to_str().ok()),
        Some(old.as_str())
    );

    let build = world.begin(&faults("streams", "new")).await;
    let id = world.deployment_of(build).await;
    let path = format!("/v1/deployments/{id}");
    let look = async || {
        let deployment: Deployment = world.api.find(&path).await?;
        assert!(!deployment.is_final, "it cannot be over while streams of the old release are open");
        matches!(deployment.state, State::Draining { .. }).then_some(())
    };
    until("the old release drains", look).await;
    assert!(!slow.is_finished() && !events.is_finished() && !upload.is_finished());
    // The WebSocket goes on in both directions although no new request reaches the old release.
    socket.send(Message::Text("still there?".into())).await.expect("it is open");
    let mut ticks = 0;
    let mut echoed = false;
    while ticks < 8 || !echoed {
        match socket.next().await.expect("it stays open").expect("it does not break") {
            Message::Text(text) if text.starts_with("tick ") => {
                assert!(text.ends_with(&old), "{text}");
                ticks += 1;
            }
            Message::Text(text) => {
                assert_eq!(text, "still there?");
                echoed = true;
            }
            other => panic!("{other:?}"),
        }
    }

    let lines: Vec<String> = (1..=10).map(|part| format!("{part}/10 {old}")).collect();
    assert_eq!(slow.await.expect("it ended").lines().collect::<Vec<_>>(), lines);
    let data: Vec<String> =
        (1..=9).map(|id| format!("data: {{\"id\":{id},\"release\":\"{old}\"}}")).collect();
    let events = events.await.expect("it ended");
    assert_eq!(events.lines().filter(|line| line.starts_with("data: ")).collect::<Vec<_>>(), data);
    let received: Value = serde_json::from_str(&upload.await.expect("it ended")).expect("JSON");
    assert_eq!((&received["bytes"], &received["release"]), (&json!(8000), &json!(old)));

    // Only the WebSocket holds the old release now; when its user leaves, the deployment ends.
    let deployment: Deployment = world.api.get(&path).await;
    assert_eq!(deployment.state.name(), "draining");
    socket.close(None).await.expect("it is open");
    while let Some(message) = socket.next().await {
        message.expect("it closes in order");
    }
    drop(socket);
    assert_succeeded(&world.ended(id).await);
    assert_eq!(world.containers().len(), 1);
}
