//! Slow sides, with limits short enough for tests: each wait of the data path has an end.

use std::time::{Duration, Instant};

use havre_core::quantity::{ByteSize, Span};
use havre_edge::config::EdgeLimits;

use crate::policy::with;
use crate::rig::{App, Client, Rig, eventually, live, short_limits};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// Sends `bytes` one by one until the other side closes, then what it said.
fn drip(client: &mut Client, bytes: impl Iterator<Item = u8>) -> String {
    client.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    for byte in bytes {
        client.send(&[byte]);
        let mut seen = [0];
        if client.stream.peek(&mut seen).is_ok() {
            break;
        }
    }
    client.stream.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
    client.rest()
}

#[test]
fn a_head_that_drips_is_cut_with_408_however_steady_it_is() {
    let app = App::ok();
    let rig = Rig::start(short_limits(), &live(&[app.address]));
    let endless = "GET / HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat_n(b'y', 5000));
    let answer = drip(&mut rig.connect(), endless);
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.contains("\r\nHavre-Error: head-timeout\r\n"), "{answer}");
    assert_eq!(app.accepted(), 0);
}

#[test]
fn resting_connections_end_without_a_word() {
    let app = App::ok();
    let rig = Rig::start(short_limits(), &live(&[app.address]));
    assert_eq!(rig.connect().rest(), "");
    let mut client = rig.connect();
    assert_eq!(client.ask(GET).1, "ok");
    assert_eq!(client.rest(), "");
    assert!(!client.was_reset);
}

#[test]
fn a_body_that_drips_is_cut_with_408() {
    for framing in ["Content-Length: 5000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1388\r\n"] {
        let app = App::start(|_, conversation| {
            conversation.client.head();
            conversation.client.rest();
            conversation.record("cut");
        });
        let rig = Rig::start(short_limits(), &live(&[app.address]));
        let mut client = rig.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: app.example\r\n{framing}").as_bytes());
        let answer = drip(&mut client, std::iter::repeat_n(b'y', 4000));
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains("\r\nHavre-Error: body-timeout\r\n"), "{answer}");
        eventually("the application sees the end", || app.seen() == ["cut"]);
    }
}

#[test]
fn a_body_that_keeps_the_pace_may_take_its_time() {
    let app = App::ok();
    let limits = EdgeLimits { body_progress: ByteSize::bytes(1), ..short_limits() };
    let rig = Rig::start(limits, &live(&[app.address]));
    let mut client = rig.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 60\r\n\r\n");
    let answer = drip(&mut client, std::iter::repeat_n(b'y', 60));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut() {
    for framing in ["Content-Length: 100000000\r\n", ""] {
        let app = App::start(move |_, conversation| {
            conversation.request();
            conversation.send(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
            let block = vec![b'x'; 1 << 20];
            for _ in 0..95 {
                conversation.client.send(&block);
            }
        });
        let rig = Rig::start(short_limits(), &live(&[app.address]));
        let mut client = rig.connect();
        client.send(GET.as_bytes());
        client.head();
        assert_eq!(rig.in_flight(), 1);
        eventually("the edge gives up", || rig.in_flight() == 0);
        client.rest();
        assert!(client.was_reset);
    }
}

/// The application may think for longer than any client may be silent.
#[test]
fn a_slow_application_is_not_the_clients_fault() {
    let app = App::start(|_, conversation| {
        while conversation.request().is_some() {
            std::thread::sleep(Duration::from_millis(700));
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = Rig::start(short_limits(), &live(&[app.address]));
    let mut client = rig.connect();
    assert_eq!(client.ask(GET).1, "ok");
    assert_eq!(client.ask(&GET.replace("GET", "POST")).1, "ok");
}

/// The bound is on silence, also where a body passes inside the kernel: plain on both sides, long and of known length.
#[test]
fn an_answer_may_take_longer_than_its_longest_silence() {
    const PIECE: usize = 8192;
    const PIECES: usize = 24;
    let app = App::start(|_, conversation| {
        while let Some(request) = conversation.request() {
            conversation.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PIECES * PIECE));
            let pieces = if request.starts_with("GET /stuck ") { 6 } else { PIECES };
            for _ in 0..pieces {
                std::thread::sleep(Duration::from_millis(50));
                conversation.client.send(&[b'x'; PIECE]);
            }
        }
    });
    let limits = EdgeLimits { tunnel_idle_timeout: Span::millis(300), ..EdgeLimits::default() };
    let rig = Rig::start(limits, &live(&[app.address]));
    let mut client = rig.connect();
    let start = Instant::now();
    assert_eq!(client.ask(GET).1.len(), PIECES * PIECE);
    assert!(start.elapsed() > Duration::from_millis(1000));
    client.send(GET.replace("/ ", "/stuck ").as_bytes());
    let rest = client.rest();
    assert!(client.was_reset && (6 * PIECE..PIECES * PIECE).contains(&rest.len()), "{}", rest.len());
    eventually("nothing is in flight", || rig.in_flight() == 0);
}

/// Byte by byte: a head counts as a whole, a body is passed on as it comes, and what a route gives a request ends both.
#[test]
fn an_application_that_trickles_is_cut_in_its_head_and_not_in_its_body() {
    let app = App::start(|_, conversation| {
        let Some(request) = conversation.request() else { return };
        let (start, rest) = match request.starts_with("GET /head ") {
            true => ("HTTP/1.1 200 OK\r\nX: ", 500),
            false => ("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n", 40),
        };
        conversation.send(start);
        for _ in 0..rest {
            std::thread::sleep(Duration::from_millis(20));
            conversation.send("y");
        }
    });
    let mut table = live(&[app.address]);
    table.services.get_mut("api").unwrap().limits.first_byte_timeout_ms = 200;
    let rig = Rig::start(short_limits(), &table);
    assert_eq!(rig.connect().ask(GET).1, "y".repeat(40));
    let (head, _) = rig.connect().ask(&GET.replace("/ ", "/head "));
    assert!(head.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{head}");
    assert!(head.contains("\r\nHavre-Error: answer-timeout\r\n"), "{head}");

    let total = serde_json::json!({ "settings": { "limits": { "total": "300ms" } } });
    let rig = Rig::start(short_limits(), &with(table, total));
    let mut client = rig.connect();
    client.send(GET.as_bytes());
    let rest = client.rest();
    let (head, body) = rest.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(client.was_reset && (1..40).contains(&body.len()), "{body}");
}

/// Clients that take nothing hold memory; beyond the budget new requests are answered at once, and later served again.
#[test]
fn memory_for_slow_clients_has_a_bound() {
    let piece = format!("10000\r\n{}\r\n", "x".repeat(65_536));
    let app = App::start(move |_, conversation| {
        while let Some(request) = conversation.request() {
            if request.starts_with("GET /endless ") {
                conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for _ in 0..2000 {
                    conversation.send(&piece);
                }
            }
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let limits = EdgeLimits { buffer_memory: ByteSize::bytes(200 * 1024), ..EdgeLimits::default() };
    let rig = Rig::start(limits, &live(&[app.address]));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n");
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut client = rig.connect();
        client.send(get("/endless").as_bytes());
        client.head();
        greedy.push(client);
    }
    let mut client = rig.connect();
    // How much is lent goes up and down a little with what the kernel takes, so one and the same answer is looked at.
    eventually("the memory is lent out", || {
        let (head, _) = client.ask(&get("/"));
        head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nHavre-Error: busy\r\n")
    });
    drop(greedy);
    eventually("there is room again", || client.ask(&get("/")).0.starts_with("HTTP/1.1 200 "));
}
