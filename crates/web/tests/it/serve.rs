//! Real sockets: requests over TCP and a local socket, bounded connections, a graceful end.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::world::{World, soon};

const REQUEST: &[u8] = b"GET /v1/projects HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

async fn exchange<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
) -> String {
    stream.write_all(request).await.expect("a write");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.expect("an answer");
    answer
}

#[tokio::test]
async fn the_door_decides_not_the_request() {
    let world = World::new();
    let path = world.folder.path().join("control.sock");
    let local = UnixListener::bind(&path).expect("a socket");
    let public = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = public.local_addr().expect("an address");
    let servers = [
        tokio::spawn(havre_web::serve::serve(local, world.local.clone(), 4, world.stop.clone())),
        tokio::spawn(havre_web::serve::serve(public, world.public.clone(), 4, world.stop.clone())),
    ];
    let answer = exchange(UnixStream::connect(&path).await.expect("a connection"), REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("{\"projects\":[]}"), "{answer}");
    let answer = exchange(TcpStream::connect(address).await.expect("a connection"), REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    world.stop.cancel();
    for server in servers {
        soon(server).await.expect("no panic");
    }
}

#[tokio::test]
async fn a_stop_lets_open_requests_end() {
    let gate = CancellationToken::new();
    let entered = CancellationToken::new();
    let router = Router::new().route(
        "/",
        get({
            let (gate, entered) = (gate.clone(), entered.clone());
            async move || {
                entered.cancel();
                gate.cancelled().await;
                "done"
            }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let server = tokio::spawn(havre_web::serve::serve(listener, router, 4, stop.clone()));
    let client = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.expect("a connection");
        exchange(stream, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await
    });
    soon(entered.cancelled()).await;
    stop.cancel();
    // No new connection is taken.
    soon(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(!server.is_finished());
    gate.cancel();
    assert!(soon(client).await.expect("no panic").ends_with("done"));
    soon(server).await.expect("no panic");
}

#[tokio::test]
async fn connections_are_bounded() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(havre_web::serve::serve(listener, world.local.clone(), 1, world.stop.clone()));
    let mut first = TcpStream::connect(address).await.expect("a connection");
    first.write_all(b"GET /v1/health HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("a write");
    let mut byte = [0; 1];
    soon(first.read_exact(&mut byte)).await.expect("an answer");
    let second = tokio::spawn(async move {
        exchange(TcpStream::connect(address).await.expect("a connection"), REQUEST).await
    });
    // The second waits for as long as the first is open.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    assert!(soon(second).await.expect("no panic").starts_with("HTTP/1.1 200"));
}
