//! Applications that speak HTTP/2 without TLS: gRPC with its trailers, streams both ways, one connection for many
//! requests, and what happens when that connection ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use havre_api::route_table::{Protocol, RouteTable};
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::h2_client::{Peer, get, request, run, whole};
use crate::h2_raw::H2Rig;
use crate::rig::{App, Rig, eventually, live};

/// An application on HTTP/2 in a thread of its own. What it does depends on the path.
pub(crate) struct Streamed {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    pub(crate) seen: Arc<Mutex<Vec<Request<()>>>>,
}

impl Streamed {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let accepted: Arc<AtomicUsize> = Arc::default();
        let seen: Arc<Mutex<Vec<Request<()>>>> = Arc::default();
        let app = Self { address, accepted: Arc::clone(&accepted), seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    accepted.fetch_add(1, Ordering::Relaxed);
                    let seen = Arc::clone(&seen);
                    tokio::spawn(async move {
                        let mut connection = h2::server::handshake(stream).await.unwrap();
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            let (parts, body) = request.into_parts();
                            let path = parts.uri.path().to_owned();
                            seen.lock().unwrap().push(Request::from_parts(parts, ()));
                            if path == "/goodbye" {
                                connection.graceful_shutdown();
                            }
                            tokio::spawn(act(path, body, respond));
                        }
                    });
                }
            });
        });
        app
    }

    fn table(&self) -> RouteTable {
        let mut table = live(&[self.address]);
        table.services.get_mut("api").unwrap().upstreams[0].protocol = Protocol::H2c;
        table
    }

    fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| format!("{} {}", request.method(), request.uri().path())).collect()
    }
}

/// More than all sockets between the application and a client hold.
static LARGE: [u8; 64 << 20] = [0; 64 << 20];

async fn act(path: String, mut body: RecvStream, mut respond: SendResponse<Bytes>) {
    let grpc = || Response::builder().header("content-type", "application/grpc");
    match path.as_str() {
        "/grpc.Echo/Call" => {
            let mut out = respond.send_response(grpc().body(()).unwrap(), false).unwrap();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                out.send_data(data, false).unwrap();
            }
            let sent = body.trailers().await.unwrap().unwrap_or_default();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            for (name, value) in &sent {
                trailers.insert(name.clone(), value.clone());
            }
            out.send_trailers(trailers).unwrap();
        }
        "/grpc.Echo/Missing" => {
            let answer = grpc().header("grpc-status", "12").header("grpc-message", "no such call");
            respond.send_response(answer.body(()).unwrap(), true).unwrap();
        }
        "/large" => {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data(Bytes::from_static(&LARGE), true).unwrap();
        }
        "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "/cut" => {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data(Bytes::from_static(b"half"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            out.send_reset(Reason::CANCEL);
        }
        _ => {
            let mut all = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                all.extend_from_slice(&data);
            }
            let answer = Response::builder().header("x-length", all.len()).body(()).unwrap();
            let mut out = respond.send_response(answer, false).unwrap();
            out.send_data(Bytes::from_static(b"ok"), true).unwrap();
        }
    }
}

#[test]
fn grpc_passes_with_its_trailers_and_its_errors() {
    let app = Streamed::start();
    let rig = H2Rig::start(Default::default(), &app.table());
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        peer.send = peer.send.clone().ready().await.unwrap();
        let call = |path: &str| {
            request("POST", path)
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())
                .unwrap()
        };
        let (answer, mut out) = peer.send.send_request(call("/grpc.Echo/Call"), false).unwrap();
        // Both ways in turn: nothing waits for the end of the request.
        out.send_data(Bytes::from_static(b"one"), false).unwrap();
        let answer = answer.await.unwrap();
        let (head, mut incoming) = answer.into_parts();
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert_eq!(incoming.data().await.unwrap().unwrap(), "one");
        out.send_data(Bytes::from_static(b"two"), false).unwrap();
        assert_eq!(incoming.data().await.unwrap().unwrap(), "two");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("7"));
        out.send_trailers(trailers).unwrap();
        let rest = whole(Response::new(incoming)).await.unwrap();
        let trailers = rest.trailers.unwrap();
        assert_eq!(
            (trailers["grpc-status"].to_str().unwrap(), trailers["x-checksum"].to_str().unwrap()),
            ("0", "7")
        );
        let missing = peer.ask(call("/grpc.Echo/Missing"), Some(b"x")).await.unwrap();
        assert_eq!(
            (missing.status(), missing.field("grpc-status"), missing.field("grpc-message")),
            (200, "12", "no such call")
        );
    });
    let seen = app.seen.lock().unwrap();
    assert_eq!(seen[0].headers()["te"], "trailers");
    assert_eq!(seen[0].uri(), "http://app.example/grpc.Echo/Call");
    assert_eq!(seen[0].headers()["x-forwarded-for"], "127.0.0.1");
    assert!(seen[0].headers().get("transfer-encoding").is_none());
}

#[test]
fn many_requests_share_one_connection() {
    let app = Streamed::start();
    let rig = H2Rig::start(Default::default(), &app.table());
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let mut answers = Vec::new();
        for _ in 0..80 {
            peer.send = peer.send.clone().ready().await.unwrap();
            answers.push(peer.send.send_request(get("/"), true).unwrap().0);
        }
        for answer in answers {
            assert_eq!(whole(answer.await.unwrap()).await.unwrap().body, b"ok");
        }
    });
    assert_eq!((app.seen().len(), app.accepted.load(Ordering::Relaxed)), (80, 1));
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn clients_of_http1_reach_it_as_well() {
    let app = Streamed::start();
    let rig = Rig::start(Default::default(), &app.table());
    let mut client = rig.connect();
    let (head, body) = client.ask("GET /a HTTP/1.1\r\nHost: app.example\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "2\r\nok\r\n0\r\n\r\n");
    for (request, length) in [
        ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhello".to_owned(), "5"),
        ("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n".to_owned(), "8"),
        (format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 300000\r\n\r\n{}", "x".repeat(300_000)), "300000"),
        ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n".to_owned(), "0"),
    ] {
        let (head, _) = client.ask(&request);
        assert!(head.contains(&format!("\r\nx-length: {length}\r\n")), "{head}");
    }
    let mut cut = rig.connect();
    cut.send(b"GET /cut HTTP/1.1\r\nHost: app.example\r\n\r\n");
    assert!(!cut.rest().ends_with("0\r\n\r\n"), "what is cut must not look whole");
    let (head, _) = client.ask("POST /reset HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\n\r\nx");
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

/// They share one connection with everybody else.
#[test]
fn clients_that_take_nothing_hold_up_nobody_else() {
    let app = Streamed::start();
    let rig = Rig::start(Default::default(), &app.table());
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut client = rig.connect();
        client.send(b"GET /large HTTP/1.1\r\nHost: app.example\r\n\r\n");
        client.head();
        slow.push(client);
    }
    // Until nothing moves any more.
    std::thread::sleep(Duration::from_millis(500));
    let (head, body) = rig.connect().ask("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.starts_with("2\r\nok\r\n"), "{head}{body}");
    assert_eq!(app.accepted.load(Ordering::Relaxed), 1);
}

#[test]
fn a_goodbye_of_the_application_loses_nothing() {
    let app = Streamed::start();
    let rig = H2Rig::start(Default::default(), &app.table());
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        for _ in 0..5 {
            assert_eq!(peer.ask(get("/goodbye"), None).await.unwrap().body, b"ok");
            assert_eq!(peer.ask(get("/"), None).await.unwrap().body, b"ok");
        }
    });
    assert!(app.accepted.load(Ordering::Relaxed) >= 5);
}

/// The connection it said goodbye on stays for what is open on it, and takes nothing more.
#[test]
fn a_goodbye_with_a_stream_open_keeps_no_further_request_waiting() {
    let app = Streamed::start();
    let rig = H2Rig::start(Default::default(), &app.table());
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        peer.send = peer.send.clone().ready().await.unwrap();
        let call = request("POST", "/grpc.Echo/Call").header("te", "trailers").body(()).unwrap();
        let (answer, mut out) = peer.send.send_request(call, false).unwrap();
        out.send_data(Bytes::from_static(b"one"), false).unwrap();
        let mut incoming = answer.await.unwrap().into_body();
        assert_eq!(incoming.data().await.unwrap().unwrap(), "one");
        assert_eq!(peer.ask(get("/goodbye"), None).await.unwrap().body, b"ok");
        for _ in 0..5 {
            let post = request("POST", "/").body(()).unwrap();
            assert_eq!(peer.ask(post, Some(b"x")).await.unwrap().body, b"ok");
        }
        out.send_data(Bytes::from_static(b"two"), true).unwrap();
        assert_eq!(incoming.data().await.unwrap().unwrap(), "two");
    });
    assert_eq!(app.accepted.load(Ordering::Relaxed), 2);
}

/// Whatever speaks there instead of HTTP/2: its requests fail, in time, and nobody else's.
#[test]
fn what_is_no_http2_is_told_from_silence_and_hurts_nobody_else() {
    let good = Streamed::start();
    let zeros = [0_u8; 64];
    for (bytes, is_over, status) in [
        (&b"garbage garbage garbage garbage garbage"[..], false, 502),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", true, 502),
        (b"\x16\x03\x01\x02\0\x01\0\x01\x7c\x03", true, 502),
        (&zeros, false, 502),
        (b"", true, 502),
        (b"", false, 504),
    ] {
        let bytes = bytes.to_vec();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let app = App::start(move |_, conversation| {
            conversation.client.take(24);
            conversation.client.send(&bytes);
            if !is_over {
                conversation.client.rest();
            }
        });
        let mut table = live(&[app.address]);
        let service = table.services.get_mut("api").unwrap();
        service.limits.first_byte_timeout_ms = 200;
        service.upstreams[0].protocol = Protocol::H2c;
        let rig = Rig::start(Default::default(), &table);
        let mut client = rig.connect();
        let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {head}");
        assert!(head.contains("\r\nHavre-Error: "), "{shown:?}: {head}");
        let mut table = good.table();
        table.generation = 2;
        rig.publish(&table);
        let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{shown:?}: {head}");
        eventually("nothing in flight", || rig.in_flight() == 0);
    }
}

#[test]
fn an_upstream_that_leaves_the_table_is_left_in_peace() {
    let (first, second) = (Streamed::start(), Streamed::start());
    let rig = H2Rig::start(Default::default(), &first.table());
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        assert_eq!(peer.ask(get("/"), None).await.unwrap().body, b"ok");
    });
    let mut table = second.table();
    table.generation = 2;
    rig.publish(&table);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        assert_eq!(peer.ask(get("/"), None).await.unwrap().body, b"ok");
    });
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
    eventually("nothing in flight", || rig.in_flight() == 0);
}

#[tokio::test]
async fn health_is_asked_over_http2() {
    let app = Streamed::start();
    let shared = havre_edge::Shared::new(Default::default(), "/nonexistent".into());
    let table = havre_edge::table::Table::build(&app.table(), None).unwrap();
    let table = shared.publish(table);
    let probes = tokio::spawn(havre_edge::probe::run(Arc::clone(&shared)));
    crate::world::wait_for("a healthy upstream", || {
        table.members().all(|member| member.upstream.health() == havre_api::edge_report::Health::Healthy)
    })
    .await;
    assert!(app.seen().contains(&"GET /health".to_owned()), "{:?}", app.seen());
    probes.abort();
}
