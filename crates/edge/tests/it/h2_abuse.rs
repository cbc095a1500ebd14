//! Clients that want to cost more than they bring: what reaches the application is counted, what the edge keeps is
//! bounded, and the connection ends.

use havre_core::quantity::{ByteSize, Span};
use havre_edge::config::EdgeLimits;

use crate::h2_raw::*;
use crate::rig::{App, eventually, live, short_limits};

const CALM: u32 = 11;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// How a connection ended: the code of the last GOAWAY, or none.
fn end(raw: &mut Raw) -> Option<u32> {
    let mut code = None;
    while let Some(frame) = raw.next() {
        if frame.kind == GOAWAY {
            code = Some(frame.code());
        }
    }
    code
}

/// CVE-2023-44487: a request and its reset, in one breath and for ever.
#[test]
fn rapid_resets_end_the_connection_before_they_reach_anybody() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    let mut raw = Raw::connect(rig.address);
    for number in 0..20_000_u32 {
        let stream = 2 * number + 1;
        if !raw.send(&[get(stream, "/"), frame(RST_STREAM, 0, stream, &CANCEL)].concat()) {
            break;
        }
    }
    // What was sent and not read resets the connection, so that the goodbye may not arrive.
    assert!(matches!(end(&mut raw), None | Some(CALM)));
    assert!(app.seen().len() <= 50, "{} requests reached the application", app.seen().len());
    eventually("nothing is left", || rig.in_flight() == 0 && rig.shared.metrics.connections.get() == 0);
}

/// The slow form: each request is let begin before it is reset.
#[test]
fn resets_of_begun_requests_are_counted() {
    let app = App::start(|_, conversation| while conversation.request().is_some() {});
    let rig = H2Rig::before(&app);
    let mut raw = Raw::connect(rig.address);
    for number in 0..1000_u32 {
        let stream = 2 * number + 1;
        if !raw.send(&get(stream, "/")) {
            break;
        }
        raw.settle();
        raw.send(&frame(RST_STREAM, 0, stream, &CANCEL));
    }
    assert!(app.seen().len() <= 202, "{} requests reached the application", app.seen().len());
    eventually("nothing is left", || rig.in_flight() == 0 && rig.shared.metrics.connections.get() == 0);
}

/// CVE-2025-8671: the client makes the edge reset its streams.
#[test]
fn made_you_reset_is_counted_too() {
    let app = App::start(|_, conversation| while conversation.request().is_some() {});
    let rig = H2Rig::before(&app);
    let mut raw = Raw::connect(rig.address);
    for number in 0..2000_u32 {
        let stream = 2 * number + 1;
        let overflow = frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
        if !raw.send(&[get(stream, "/"), overflow].concat()) {
            break;
        }
    }
    assert!(matches!(end(&mut raw), None | Some(CALM)));
    assert!(app.seen().len() <= 202, "{} requests reached the application", app.seen().len());
    eventually("nothing is left", || rig.in_flight() == 0);
}

/// CVE-2024-27316: fields that never end.
#[test]
fn endless_continuations_end_the_connection() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    for piece in [block(&[("x", &"a".repeat(1000))]), Vec::new()] {
        let mut raw = Raw::connect(rig.address);
        raw.send(&frame(HEADERS, END_STREAM, 1, &block(&fields("GET", "/", &[]))));
        let mut sent = 0;
        while sent < 100_000 && raw.send(&frame(CONTINUATION, 0, 1, &piece)) {
            sent += 1;
        }
        assert!(sent < 100_000, "never ended");
        assert!(matches!(end(&mut raw), None | Some(CALM)));
    }
    assert_eq!(app.accepted(), 0);
}

/// Few bytes that stand for many: entries of the table named again and again.
#[test]
fn a_compressed_bomb_does_not_unfold() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    let mut raw = Raw::connect(rig.address);
    // Enters one field of 3 KB into the table, then names it 10,000 times: 30 MB.
    let mut bomb = block(&fields("GET", "/", &[]));
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f]);
    let length = 3000 - 127;
    bomb.extend_from_slice(&[(length % 128) as u8 | 0x80, (length / 128) as u8]);
    bomb.extend_from_slice(&vec![b'a'; 3000]);
    bomb.extend_from_slice(&vec![0xbe; 10_000]);
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb));
    while let Some(frame) = raw.next() {
        match frame.kind {
            HEADERS => {
                assert_ne!(frame.status(), 200);
                break;
            }
            RST_STREAM | GOAWAY => break,
            _ => {}
        }
    }
    assert_eq!(app.accepted(), 0);
    let mut raw = Raw::connect(rig.address);
    let crumbs: Vec<_> = (0..2000).map(|_| ("cookie", "a")).collect();
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields("GET", "/", &crumbs))));
    assert_ne!(raw.answer(1).0, 200);
    assert_eq!(app.accepted(), 0);
}

/// Frames that carry nothing, each kind until the connection ends.
#[test]
fn floods_of_frames_without_content_end_the_connection() {
    let app = App::start(|_, conversation| while conversation.request().is_some() {});
    let rig = H2Rig::before(&app);
    let floods = [
        ("pings that are not answered", frame(PING, ACK, 0, b"12345678"), None),
        ("empty data", frame(DATA, 0, 1, b""), Some(post(1, &[]))),
        ("padding", frame(DATA, PADDED, 1, &[200; 201]), Some(post(1, &[]))),
        ("window updates", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), Some(post(1, &[]))),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]), None),
        ("unknown frames", frame(0x42, 0, 0, &[0; 1000]), None),
        (
            "resets of a closed stream",
            frame(RST_STREAM, 0, 1, &CANCEL),
            Some([get(1, "/"), frame(RST_STREAM, 0, 1, &CANCEL)].concat()),
        ),
    ];
    for (what, flood, first) in floods {
        let mut raw = Raw::connect(rig.address);
        raw.send(&first.unwrap_or_default());
        let many = flood.repeat(1000);
        let mut sent = 0;
        while sent < 64 * 1024 * 1024 && raw.send(&many) {
            sent += many.len();
        }
        assert!(sent < 64 * 1024 * 1024, "{what} went on for ever");
        assert!(matches!(end(&mut raw), None | Some(CALM)), "{what}");
    }
    // Settings and pings are answered: a client that does not read the answers stops itself.
    for flood in [frame(SETTINGS, 0, 0, b""), frame(PING, 0, 0, b"12345678")] {
        let mut raw = Raw::connect(rig.address);
        raw.stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        let many = flood.repeat(1000);
        let mut sent = 0;
        while sent < 64 * 1024 * 1024 && raw.send(&many) {
            sent += many.len();
        }
        assert!(sent < 64 * 1024 * 1024, "went on for ever");
    }
    eventually("nothing is left", || rig.in_flight() == 0);
}

/// A client that asks for much and opens no window: the stream is cut, the application is left.
#[test]
fn a_stream_whose_window_stays_shut_is_cut() {
    let app =
        App::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(200_000)));
    let rig = H2Rig::start(short_limits(), &live(&[app.address]));
    // SETTINGS_INITIAL_WINDOW_SIZE = 10.
    let mut raw = Raw::greeted(rig.address, &[(4, 10)]);
    raw.send(&get(1, "/"));
    let mut body = 0;
    let code = loop {
        let frame = raw.next().expect("a reset");
        match frame.kind {
            DATA => body += frame.payload.len(),
            RST_STREAM => break frame.code(),
            _ => {}
        }
    };
    assert_eq!((body, code), (10, 2));
    eventually("nothing in flight", || rig.in_flight() == 0);
}

/// A client that asks for much and reads nothing at all from its socket.
#[test]
fn a_client_that_reads_nothing_is_cut_and_costs_little() {
    let app = App::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n{}",
        "x".repeat(2_000_000)
    ));
    let rig = H2Rig::start(short_limits(), &live(&[app.address]));
    let mut raw = Raw::greeted(rig.address, &[(4, 0x7fff_ffff)]);
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
    for number in 0..100 {
        raw.send(&get(2 * number + 1, "/"));
    }
    eventually("the connection is cut", || rig.shared.metrics.connections.get() == 0 && rig.in_flight() == 0);
}

/// A body slower than 1 KB a second over the period.
#[test]
fn a_body_that_drips_is_refused() {
    let app = App::ok();
    let limits = EdgeLimits { body_progress: ByteSize::bytes(1000), ..short_limits() };
    let rig = H2Rig::start(limits, &live(&[app.address]));
    let mut raw = Raw::connect(rig.address);
    raw.send(&post(1, &[]));
    let mut status = 0;
    for _ in 0..1000 {
        raw.send(&frame(DATA, 0, 1, b"x"));
        raw.stream.set_nonblocking(true).unwrap();
        let came = raw.stream.peek(&mut [0; 10]).is_ok_and(|count| count > 9);
        raw.stream.set_nonblocking(false).unwrap();
        if came {
            let frame = raw.next().unwrap();
            if frame.kind == HEADERS {
                status = 408;
                break;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(status, 408);
    eventually("nothing in flight", || rig.in_flight() == 0);
}

/// Connections that say nothing, or only half of something.
#[test]
fn idle_and_half_greeted_connections_end() {
    let app = App::ok();
    let limits =
        EdgeLimits { head_timeout: Span::millis(100), idle_timeout: Span::millis(150), ..short_limits() };
    let rig = H2Rig::start(limits, &live(&[app.address]));
    let mut half = Raw::silent(rig.address);
    half.send(&PREFACE[..10]);
    while half.next().is_some() {}
    let mut idle = Raw::connect(rig.address);
    idle.send(&get(1, "/"));
    assert_eq!(idle.answer(1).0, 200);
    // A goodbye, and then the end, whatever the client says.
    assert_eq!(idle.until(GOAWAY).map(|frame| frame.code()), Some(0));
    // Half a head does not count as life.
    let mut begun = Raw::connect(rig.address);
    begun.send(&frame(HEADERS, END_STREAM, 1, &block(&fields("GET", "/", &[]))));
    assert_eq!(begun.until(GOAWAY).map(|frame| frame.code()), Some(0));
    eventually("all are gone", || rig.shared.metrics.connections.get() == 0);
}

/// 100 streams at once and no more.
#[test]
fn streams_beyond_the_limit_are_refused() {
    let app = App::start(|_, conversation| while conversation.request().is_some() {});
    let rig = H2Rig::before(&app);
    let mut raw = Raw::connect(rig.address);
    for number in 0..150 {
        raw.send(&get(2 * number + 1, "/"));
    }
    let mut refused = 0;
    while refused < 50 {
        let frame = raw.until(RST_STREAM).expect("the connection stays");
        assert_eq!(frame.code(), 7, "refused");
        refused += 1;
    }
    eventually("100 reach the application", || app.seen().len() == 100);
    drop(raw);
    eventually("all are left", || rig.in_flight() == 0);
}
