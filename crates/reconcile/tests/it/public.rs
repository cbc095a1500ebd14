//! The real probe of the public listener, against small servers on this machine: what it asks, what it makes of an
//! answer, and what is none.

use std::net::SocketAddr;

use havre_core::name::HostName;
use havre_core::service::spec::RouteSpec;
use havre_reconcile::public::{HttpProbe, PublicAnswer, PublicProbe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server on `address` that reads one request, answers with this and hangs up; gives the request.
async fn serve_on(address: &str, answer: impl Into<String>) -> (SocketAddr, JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        let mut buffer = [0; 4096];
        while !request.contains("\r\n\r\n") {
            let length = stream.read(&mut buffer).await.unwrap();
            assert_ne!(length, 0, "the probe hung up: {request}");
            request.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    });
    (address, server)
}

async fn serve(answer: impl Into<String>) -> SocketAddr {
    serve_on("127.0.0.1:0", answer).await.0
}

fn route() -> RouteSpec {
    RouteSpec { host: "api.localhost".parse().unwrap(), path: "/shop".parse().unwrap() }
}

async fn ask(listener: SocketAddr) -> PublicAnswer {
    HttpProbe.ask(listener, &route(), "the-key").await.unwrap()
}

/// What went wrong, after who did not answer for what.
async fn fails(listener: SocketAddr) -> String {
    let error = HttpProbe.ask(listener, &route(), "the-key").await.unwrap_err().to_string();
    let who = format!("{listener} did not answer for api.localhost/shop: ");
    error.strip_prefix(&who).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[tokio::test]
async fn it_asks_as_a_user_would_and_shows_its_key() {
    let answer = "HTTP/1.1 200 OK\r\nHavre-Release: r7\r\nContent-Length: 2\r\n\r\nok";
    let (address, server) = serve_on("127.0.0.1:0", answer).await;
    assert_eq!(ask(address).await, PublicAnswer { status: 200, release: Some("r7".to_owned()) });
    let request = server.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /shop http/1.1\r\n"), "{request}");
    for line in ["\r\nhost: api.localhost\r\n", "\r\nhavre-probe: the-key\r\n", "\r\nconnection: close\r\n"] {
        assert!(request.contains(line), "{request}");
    }
}

#[tokio::test]
async fn it_tells_what_was_answered_whatever_that_is() {
    let cases = [
        ("200 OK\r\nHavre-Release: r6\r\nContent-Length: 0", 200, Some("r6")),
        ("200 OK\r\nContent-Length: 0", 200, None),
        ("200 OK\r\nHavre-Version: r7\r\nContent-Length: 0", 200, None),
        ("200 OK\r\nHavre-Release: r\u{e9}7\r\nContent-Length: 0", 200, None),
        ("503 Service Unavailable\r\nHavre-Release: r7\r\nContent-Length: 0", 503, Some("r7")),
        ("301 Moved Permanently\r\nLocation: https://api.localhost/\r\nContent-Length: 0", 301, None),
    ];
    for (head, status, release) in cases {
        let address = serve(format!("HTTP/1.1 {head}\r\n\r\n")).await;
        let expected = PublicAnswer { status, release: release.map(ToOwned::to_owned) };
        assert_eq!(ask(address).await, expected, "{head}");
    }
}

#[tokio::test]
async fn a_listener_on_all_addresses_is_asked_on_this_machine() {
    let answer = "HTTP/1.1 200 OK\r\nHavre-Release: r7\r\nContent-Length: 0\r\n\r\n";
    let (address, _) = serve_on("0.0.0.0:0", answer).await;
    assert_eq!(ask(address).await.release.as_deref(), Some("r7"));
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for garbage in ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nHavre-Release: r7\r\n"] {
        let message = fails(serve(garbage).await).await;
        assert_ne!(message, "", "{garbage}");
    }
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let message = fails(address).await;
    assert!(message.contains("refused"), "{message}");
}

/// The kernel takes the connection, and nobody ever reads from it. No time passes really.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_not_waited_for_for_ever() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let message = fails(listener.local_addr().unwrap()).await;
    assert_eq!(message, "no answer within 5 s");
}

#[tokio::test]
async fn it_fetches_small_texts_for_issuers() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\ntoken.print\n";
    let (address, server) = serve_on("127.0.0.1:0", answer).await;
    let host: HostName = "api.localhost".parse().unwrap();
    let fetched = HttpProbe.fetch(address, &host, "/.well-known/acme-challenge/token").await.unwrap();
    assert_eq!(fetched, (200, "token.print".to_owned()));
    let request = server.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /.well-known/acme-challenge/token http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nhost: api.localhost\r\n"), "{request}");
    assert!(!request.contains("havre-probe:"), "{request}");

    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n{}", "x".repeat(4097));
    let address = serve(long).await;
    let error = HttpProbe.fetch(address, &host, "/long").await.unwrap_err().to_string();
    let expected = format!("{address} did not answer for api.localhost/long: read the answer: ");
    assert!(error.starts_with(&expected), "{error}");
}
