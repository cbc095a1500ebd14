//! Requests and answers over HTTP/2: what the application sees of them and what the client gets, with the same
//! routes, pools, pages and rules as over HTTP/1.1.

use std::future::poll_fn;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use super::{H2Rig, SCHEME};
use crate::h2_client::{Peer, get, request, run, whole};
use crate::h2_raw::{self, GOAWAY, PREFACE, Raw, SETTINGS};
use crate::rig::{App, eventually, live};

/// The lines of a request as the application saw it, without those that differ from run to run.
fn lines(seen: &str) -> Vec<&str> {
    seen.split("\r\n").filter(|line| !line.starts_with("X-Request-Id: ")).collect()
}

#[test]
fn a_request_is_the_same_request_as_over_http1() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    let answer = run(async {
        let request = request("GET", "/a?b=1")
            .header("accept", "text/plain")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-forwarded-for", "6.6.6.6");
        Peer::connect(rig.address).await.ask(request.body(()).unwrap(), None).await.unwrap()
    });
    assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(answer.field("content-length"), "2");
    assert_eq!(answer.field("havre-release"), "r1");
    assert_eq!(answer.field("x-request-id").len(), 32);
    assert_eq!(answer.field("connection"), "");
    assert_eq!(
        lines(&app.seen()[0]),
        [
            "GET /a?b=1 HTTP/1.1",
            "Host: app.example",
            "accept: text/plain",
            "cookie: a=1; b=2",
            "X-Forwarded-For: 127.0.0.1",
            &format!("X-Forwarded-Proto: {SCHEME}"),
            "X-Forwarded-Host: app.example",
            &format!("Forwarded: for=127.0.0.1;host=app.example;proto={SCHEME}"),
            "",
            ""
        ]
    );
}

#[test]
fn many_streams_share_connections_to_the_application() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let mut answers = Vec::new();
        for number in 0..100 {
            peer.send = peer.send.clone().ready().await.unwrap();
            let (answer, _) = peer.send.send_request(get(&format!("/{number}")), true).unwrap();
            answers.push(answer);
        }
        for answer in answers {
            assert_eq!(whole(answer.await.unwrap()).await.unwrap().body, b"ok");
        }
        for _ in 0..10 {
            peer.ask(get("/again"), None).await.unwrap();
        }
    });
    assert_eq!(app.seen().len(), 110);
    assert!(app.accepted() <= 100, "{}", app.accepted());
    assert_eq!(rig.in_flight(), 0);
    let table = rig.shared.table.load();
    let answered = table
        .services()
        .next()
        .unwrap()
        .counters
        .list()
        .iter()
        .map(|series| series.totals().classes[2])
        .sum::<u64>();
    assert_eq!(answered, 110);
}

#[test]
fn bodies_of_requests_with_and_without_a_length() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    let body = vec![b'x'; 300_000];
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let known = request("POST", "/").header("content-length", body.len()).body(()).unwrap();
        assert_eq!(peer.ask(known, Some(&body)).await.unwrap().body, b"ok");
        assert_eq!(peer.ask(request("POST", "/").body(()).unwrap(), Some(&body)).await.unwrap().body, b"ok");
        assert_eq!(peer.ask(request("POST", "/").body(()).unwrap(), Some(b"")).await.unwrap().body, b"ok");
    });
    let seen = app.seen();
    assert!(seen[0].contains("\r\nContent-Length: 300000\r\n") && !seen[0].contains("Transfer-Encoding"));
    assert!(seen[0].ends_with(&"x".repeat(1000)));
    assert!(seen[1].contains("\r\nTransfer-Encoding: chunked\r\n") && seen[1].ends_with("\r\n0\r\n\r\n"));
    assert_eq!(seen[1].split_once("\r\n\r\n").unwrap().1.matches('x').count(), 300_000);
    assert!(seen[2].ends_with("\r\n\r\n0\r\n\r\n"));
}

#[test]
fn bodies_of_answers_by_length_chunks_and_close() {
    let long = "y".repeat(500_000);
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7a120\r\n{long}\r\n0\r\n\r\n");
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n{long}");
    let close = format!("HTTP/1.1 200 OK\r\n\r\n{long}");
    let empty = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    let app = App::start(move |_, conversation| {
        while let Some(request) = conversation.request() {
            let is_close = request.starts_with("GET /close");
            conversation.send(match request.split(' ').nth(1) {
                Some("/chunked") => &chunked,
                Some("/length") => &length,
                Some("/close") => &close,
                _ => &empty,
            });
            if is_close {
                return;
            }
        }
    });
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        for path in ["/chunked", "/length", "/close"] {
            let answer = peer.ask(get(path), None).await.unwrap();
            assert_eq!(answer.body.len(), 500_000, "{path}");
            assert_eq!(answer.field("transfer-encoding"), "", "{path}");
            assert_eq!(answer.field("content-length"), if path == "/length" { "500000" } else { "" });
        }
        let answer = peer.ask(get("/empty"), None).await.unwrap();
        assert_eq!((answer.status(), answer.body.len()), (204, 0));
        // HEAD says the length and sends nothing.
        let head = peer.ask(request("HEAD", "/empty").body(()).unwrap(), None).await.unwrap();
        assert_eq!(head.body.len(), 0);
    });
}

#[test]
fn an_answer_that_breaks_off_resets_its_stream_only() {
    let app = App::start(|_, conversation| {
        while let Some(request) = conversation.request() {
            if request.starts_with("GET /cut") {
                return conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            }
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let problem = peer.ask(get("/cut"), None).await.unwrap_err();
        assert_eq!(problem.reason(), Some(h2::Reason::INTERNAL_ERROR), "{problem}");
        assert_eq!(peer.ask(get("/"), None).await.unwrap().body, b"ok");
    });
}

#[test]
fn own_pages_and_refusals() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let unknown = Request::get("http://other.example/").body(()).unwrap();
        let answer = peer.ask(unknown, None).await.unwrap();
        assert_eq!((answer.status(), answer.field("havre-error")), (421, "unknown-host"));
        assert!(String::from_utf8(answer.body).unwrap().starts_with("421 Misdirected Request\n"));
        let many =
            (0..120).fold(request("GET", "/"), |request, number| request.header(format!("x-{number}"), "1"));
        let answer = peer.ask(many.body(()).unwrap(), None).await.unwrap();
        assert_eq!(answer.status(), 431);
        let large = request("GET", "/").header("x-large", "x".repeat(17_000)).body(()).unwrap();
        match peer.ask(large, None).await {
            Ok(answer) => assert_eq!(answer.status(), 431),
            Err(problem) => assert!(problem.is_reset(), "{problem}"),
        }
        assert_eq!(peer.ask(get("/"), None).await.unwrap().body, b"ok");
    });
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_connection_goes_on() {
    let app = App::ok();
    let mut table = live(&[app.address]);
    table.services.get_mut("api").unwrap().limits.max_body_bytes = 4;
    let rig = H2Rig::start(Default::default(), &table);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let known = request("POST", "/").header("content-length", 5).body(()).unwrap();
        assert_eq!(peer.ask(known, Some(b"hello")).await.unwrap().status(), 413);
        let answer = peer.ask(request("POST", "/").body(()).unwrap(), Some(b"hello")).await.unwrap();
        assert_eq!((answer.status(), answer.field("havre-error")), (413, "body-too-large"));
        assert_eq!(
            peer.ask(request("POST", "/").body(()).unwrap(), Some(b"four")).await.unwrap().body,
            b"ok"
        );
    });
}

#[test]
fn interim_answers_pass_and_100_is_waited_for() {
    let app = App::start(|_, conversation| {
        let head = conversation.client.head();
        conversation.record(&head);
        conversation.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = conversation.client.through("0\r\n\r\n").unwrap();
        conversation.record(&body);
        conversation.send(
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        );
    });
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        peer.send = peer.send.clone().ready().await.unwrap();
        let post = request("POST", "/").header("expect", "100-continue").body(()).unwrap();
        let (mut answer, mut body) = peer.send.send_request(post, false).unwrap();
        let interim = poll_fn(|context| answer.poll_informational(context)).await.unwrap().unwrap();
        assert_eq!(interim.status(), 100);
        body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let interim = poll_fn(|context| answer.poll_informational(context)).await.unwrap().unwrap();
        assert_eq!(
            (interim.status().as_u16(), interim.headers()["link"].to_str().unwrap()),
            (103, "</a.css>")
        );
        assert_eq!(answer.await.unwrap().status(), 200);
    });
    let seen = app.seen();
    assert!(seen[0].contains("\r\nExpect: 100-continue\r\n"), "{seen:?}");
    assert!(seen[1].contains("hello"), "{seen:?}");
}

#[test]
fn events_arrive_one_by_one_and_a_client_that_leaves_is_noticed() {
    let (gone, is_gone) = mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let app = App::start(move |_, conversation| {
        conversation.request();
        conversation
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        conversation.send("3\r\none\r\n");
        conversation.client.through("never");
        gone.lock().unwrap().send(()).unwrap();
    });
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        peer.send = peer.send.clone().ready().await.unwrap();
        let (answer, _) = peer.send.send_request(get("/events"), true).unwrap();
        let mut incoming = answer.await.unwrap().into_body();
        assert_eq!(incoming.data().await.unwrap().unwrap(), "one");
        assert_eq!(rig.in_flight(), 1);
        drop(incoming);
        // The reset goes out with the connection's next turn.
        for _ in 0..1000 {
            if is_gone.try_recv().is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the application was never left");
    });
    eventually("nothing in flight", || rig.in_flight() == 0);
}

#[test]
fn a_soft_stop_says_goodbye_and_lets_requests_end() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let app = App::start(move |_, conversation| {
        while conversation.request().is_some() {
            gate.lock().unwrap().recv().unwrap();
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        peer.send = peer.send.clone().ready().await.unwrap();
        let (answer, _) = peer.send.send_request(get("/"), true).unwrap();
        let asked = async {
            while app.seen().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            rig.tell_to_stop();
            // New requests are refused once the goodbye has come; the one in flight is not touched.
            while peer.send.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            go.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(answer, asked);
        assert_eq!(whole(answer.unwrap()).await.unwrap().body, b"ok");
        peer.ended.await.unwrap().unwrap();
    });
    rig.workers.join();
}

/// Who connected before the stop may still be on the way with what HTTP/2 begins with.
#[test]
fn a_greeting_that_is_under_way_at_the_soft_stop_is_heard_and_its_request_answered() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    let mut idle = Raw::connect(rig.address);
    let mut late = Raw::silent(rig.address);
    eventually("both are accepted", || rig.shared.metrics.connections.get() == 2);
    rig.tell_to_stop();
    // Who asks once the stop has come is told to leave.
    let mut streams = (1..).step_by(2);
    let mut is_told_to_leave = || {
        let stream = streams.next().unwrap();
        idle.send(&h2_raw::get(stream, "/"));
        let mut is_told = false;
        while let Some(frame) = idle.next() {
            is_told |= frame.kind == GOAWAY;
            if frame.kind == h2_raw::DATA && frame.stream == stream && frame.flags & h2_raw::END_STREAM != 0 {
                break;
            }
        }
        is_told
    };
    eventually("the stop has come", &mut is_told_to_leave);
    let (first, second) = PREFACE.split_at(10);
    late.send(first);
    // The one worker has looked at that part alone before it answers this.
    is_told_to_leave();
    late.send(&[second, &h2_raw::frame(SETTINGS, 0, 0, b""), &h2_raw::get(1, "/")].concat());
    assert_eq!(late.answer(1), (200, b"ok".to_vec()));
    drop((idle, late));
    rig.workers.join();
}

#[test]
fn settings_of_a_route_hold_as_over_http1() {
    let app = App::ok();
    let settings = serde_json::json!({ "settings": {
        "redirects": [{ "from": "/old/*", "to": "https://b.example/*", "status": 308 }],
        "rate_limits": [{ "by": { "header": "x-key" }, "requests": 1, "per": "1h", "burst": 1 }],
        "response_headers": { "set": { "x-frame-options": "DENY" } },
    } });
    let rig = H2Rig::start(Default::default(), &crate::policy::with(live(&[app.address]), settings));
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let moved = peer.ask(get("/old/a?b"), None).await.unwrap();
        assert_eq!((moved.status(), moved.field("location")), (308, "https://b.example/a?b"));
        for (key, status) in [("a", 200), ("a", 429), ("b", 200)] {
            let request = request("GET", "/").header("x-key", key).body(()).unwrap();
            let answer = peer.ask(request, None).await.unwrap();
            assert_eq!((answer.status(), answer.field("x-frame-options")), (status, "DENY"), "{key}");
            assert_eq!(answer.field("havre-error") == "too-many-requests", status == 429, "{answer:?}");
        }
    });
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn a_failed_task_is_tried_around() {
    let app = App::ok();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = H2Rig::start(Default::default(), &live(&[dead, app.address]));
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        for _ in 0..4 {
            assert_eq!(peer.ask(get("/"), None).await.unwrap().body, b"ok");
        }
    });
}

#[test]
fn a_websocket_over_a_stream_is_a_tunnel() {
    let app = App::start(|_, conversation| {
        let head = conversation.client.head();
        conversation.record(&head);
        conversation.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n");
        let said = conversation.client.take(5);
        conversation.client.send(&said);
        conversation.client.rest();
    });
    let rig = H2Rig::before(&app);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        peer.send = peer.send.clone().ready().await.unwrap();
        // The edge's settings must have come before CONNECT may be extended.
        peer.ask(Request::get("http://other.example/").body(()).unwrap(), None).await.unwrap();
        assert!(peer.send.is_extended_connect_protocol_enabled());
        let connect = request("CONNECT", "/chat")
            .header("sec-websocket-version", "13")
            .extension(h2::ext::Protocol::from_static("websocket"));
        let (answer, mut out) = peer.send.send_request(connect.body(()).unwrap(), false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().get("sec-websocket-accept").is_none());
        let mut incoming = answer.into_body();
        out.send_data(Bytes::from_static(b"hello"), false).unwrap();
        assert_eq!(incoming.data().await.unwrap().unwrap(), "hello");
        assert_eq!(rig.shared.metrics.tunnels.get(), 1);
        out.send_data(Bytes::new(), true).unwrap();
        assert!(incoming.data().await.is_none_or(|end| end.unwrap().is_empty()));
    });
    let seen = app.seen();
    assert!(seen[0].starts_with("GET /chat HTTP/1.1\r\nHost: app.example\r\n"), "{seen:?}");
    assert!(seen[0].contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), "{seen:?}");
    assert!(seen[0].contains("\r\nSec-WebSocket-Key: "), "{seen:?}");
    eventually("the tunnel is closed", || rig.shared.metrics.tunnels.get() == 0 && rig.in_flight() == 0);
}
