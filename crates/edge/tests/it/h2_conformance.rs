//! RFC 9113 frame by frame, as data: what a client sends after its greeting, and how the edge must take it. The same
//! ground as h2spec; requests that are refused here never reach the application.

use crate::h2_raw::*;
use crate::rig::App;

/// How the edge takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Stream 1 is answered with this status.
    Answered(u16),
    /// Stream 1 is reset with this code.
    Reset(u32),
    /// The connection ends with this code in GOAWAY.
    Over(u32),
    /// The connection ends without a GOAWAY.
    Gone,
    /// A frame of this kind with ACK comes.
    Acknowledged(u8),
}

use Taken::{Acknowledged, Answered, Gone, Over, Reset};

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// RFC 9113 says FRAME_SIZE_ERROR. The library knows that code for frames that are too long only, and says the general
/// one for fixed sizes that are missed; the connection ends either way.
const ODD_SIZE: &[Taken] = &[Over(SIZE), Over(PROTOCOL)];

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields))
}

fn with(more: &[(&str, &str)]) -> Vec<u8> {
    head(&fields("GET", "/", more))
}

/// Every case takes a connection of its own; the expected outcome may be one of several the RFC allows, such as the end of
/// the connection in place of that of the stream (section 5.4), or the general code where the library has no finer one.
fn play(cases: Vec<(&str, Vec<u8>, &[Taken])>) {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    let mut reached = 0;
    for (what, bytes, allowed) in cases {
        let mut raw = Raw::connect(rig.address);
        raw.send(&bytes);
        let taken = outcome(&mut raw);
        assert!(allowed.contains(&taken), "{what}: {taken:?}, wanted one of {allowed:?}");
        reached += usize::from(taken == Answered(200));
        assert_eq!(app.seen().len(), reached, "{what}: what was refused must not reach the application");
    }
    // Whatever was sent, the edge serves on.
    let mut raw = Raw::connect(rig.address);
    raw.send(&get(1, "/"));
    assert_eq!(raw.answer(1), (200, b"ok".to_vec()));
}

fn outcome(raw: &mut Raw) -> Taken {
    let mut status = 0;
    while let Some(frame) = raw.next() {
        match frame.kind {
            GOAWAY => return Over(frame.code()),
            RST_STREAM => return Reset(frame.code()),
            PING if frame.flags & ACK != 0 => return Acknowledged(PING),
            HEADERS if frame.stream == 1 => {
                status = frame.status();
                if frame.flags & END_STREAM != 0 {
                    return Answered(status);
                }
            }
            DATA if frame.stream == 1 && frame.flags & END_STREAM != 0 => return Answered(status),
            _ => {}
        }
    }
    Gone
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn frames_and_streams() {
    let big = vec![0; 16_385];
    let padded = |length: u8, rest: &[u8]| [&[length][..], rest].concat();
    let fields = block(&fields("GET", "/", &[]));
    let prioritized = [&[0, 0, 0, 3, 15][..], &fields].concat();
    let depends_on_itself = [&[0, 0, 0, 1, 15][..], &fields].concat();
    play(vec![
        ("an ordinary request", get(1, "/"), &[Answered(200)]),
        ("an unknown frame is ignored", joined(&[frame(0x16, 0, 0, b"xyz"), get(1, "/")]), &[Answered(200)]),
        ("unknown flags are ignored", joined(&[frame(PING, 0xfe, 0, b"12345678")]), &[Acknowledged(PING)]),
        ("the reserved bit is ignored", joined(&[get(0x8000_0001, "/")]), &[Answered(200)]),
        ("a ping is answered", frame(PING, 0, 0, b"12345678"), &[Acknowledged(PING)]),
        ("a ping of another size", frame(PING, 0, 0, b"1234"), ODD_SIZE),
        ("a ping on a stream", frame(PING, 0, 1, b"12345678"), &[Over(PROTOCOL)]),
        ("settings on a stream", frame(SETTINGS, 0, 1, b""), &[Over(PROTOCOL)]),
        ("settings of a broken size", frame(SETTINGS, 0, 0, b"12345"), ODD_SIZE),
        ("an acknowledgement with a payload", frame(SETTINGS, ACK, 0, b"123456"), ODD_SIZE),
        ("push switched to 2", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), &[Over(PROTOCOL)]),
        (
            "a window above 2^31-1",
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            &[Over(FLOW), Over(PROTOCOL)],
        ),
        ("a frame size below 2^14", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), &[Over(PROTOCOL)]),
        (
            "unknown settings",
            joined(&[frame(SETTINGS, 0, 0, &[0xff, 2, 0, 0, 0, 2]), get(1, "/")]),
            &[Answered(200)],
        ),
        ("a frame above 2^14", joined(&[post(1, &[]), frame(DATA, 0, 1, &big)]), &[Over(SIZE), Reset(SIZE)]),
        (
            "padding",
            frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &joined(&[padded(3, &fields), vec![0; 3]])),
            &[Answered(200)],
        ),
        (
            "more padding than frame",
            joined(&[post(1, &[]), frame(DATA, PADDED, 1, &padded(9, b"1234"))]),
            &[Over(PROTOCOL)],
        ),
        (
            "fields with a priority",
            frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, &prioritized),
            &[Answered(200)],
        ),
        (
            "a stream that depends on itself",
            frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, &depends_on_itself),
            &[Over(PROTOCOL), Reset(PROTOCOL)],
        ),
        (
            "priorities are ignored",
            joined(&[frame(PRIORITY, 0, 5, &[0, 0, 0, 3, 1]), get(1, "/")]),
            &[Answered(200)],
        ),
        (
            "a priority of a broken size",
            frame(PRIORITY, 0, 1, b"1234"),
            &[Reset(SIZE), Over(SIZE), Over(PROTOCOL)],
        ),
        ("a client that pushes", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), &[Over(PROTOCOL)]),
        ("fields on stream 0", frame(HEADERS, END_STREAM | END_HEADERS, 0, &fields), &[Over(PROTOCOL)]),
        ("fields on an even stream", get(2, "/"), &[Over(PROTOCOL)]),
        ("a stream number that falls", joined(&[get(5, "/"), get(3, "/")]), &[Over(PROTOCOL), Over(CLOSED)]),
        ("data on an idle stream", frame(DATA, 0, 1, b"x"), &[Over(PROTOCOL)]),
        ("data on stream 0", frame(DATA, 0, 0, b"x"), &[Over(PROTOCOL)]),
        (
            "data after the end",
            joined(&[get(1, "/"), frame(DATA, END_STREAM, 1, b"x")]),
            // The last is the library's for a stream it still knows.
            &[Reset(CLOSED), Over(CLOSED), Over(PROTOCOL)],
        ),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), &[Over(PROTOCOL)]),
        ("a reset on stream 0", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8]), &[Over(PROTOCOL)]),
        ("a reset of a broken size", joined(&[post(1, &[]), frame(RST_STREAM, 0, 1, b"abc")]), ODD_SIZE),
        ("a window update for an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), &[Over(PROTOCOL)]),
        ("a window update of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), &[Over(PROTOCOL)]),
        (
            "a window update of nothing on a stream",
            joined(&[post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &[0; 4])]),
            &[Reset(PROTOCOL), Over(PROTOCOL)],
        ),
        ("a window update of a broken size", frame(WINDOW_UPDATE, 0, 0, b"abc"), ODD_SIZE),
        (
            "a window that overflows",
            joined(&[frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]),
            &[Over(FLOW)],
        ),
        (
            "a stream's window that overflows",
            joined(&[post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])]),
            &[Reset(FLOW), Over(FLOW)],
        ),
        ("a goaway on a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[Over(PROTOCOL)]),
    ]);
}

#[test]
fn continued_fields() {
    let fields = block(&fields("GET", "/", &[]));
    let (first, rest) = fields.split_at(10);
    let begin = || frame(HEADERS, END_STREAM, 1, first);
    play(vec![
        (
            "fields in two frames",
            joined(&[begin(), frame(CONTINUATION, END_HEADERS, 1, rest)]),
            &[Answered(200)],
        ),
        ("another frame between them", joined(&[begin(), frame(PING, 0, 0, b"12345678")]), &[Over(PROTOCOL)]),
        (
            "the rest on another stream",
            joined(&[begin(), frame(CONTINUATION, END_HEADERS, 3, rest)]),
            &[Over(PROTOCOL)],
        ),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, rest), &[Over(PROTOCOL)]),
        (
            "a continuation after the end",
            joined(&[get(1, "/"), frame(CONTINUATION, END_HEADERS, 1, rest)]),
            &[Over(PROTOCOL)],
        ),
        (
            "an index beyond the table",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff, 0xff, 0x7f]),
            &[Over(COMPRESSION), Over(PROTOCOL)],
        ),
        (
            "a block that breaks off",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields[..fields.len() - 1]),
            &[Over(COMPRESSION), Over(PROTOCOL)],
        ),
        (
            "a table larger than agreed",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x3f, 0xff, 0xff, 0x7f]),
            &[Over(COMPRESSION), Over(PROTOCOL)],
        ),
    ]);
}

/// RFC 9113 section 8, and what a downgrade to HTTP/1.1 could turn into another request.
#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn fields_of_requests() {
    let bad: &[Taken] = &[Reset(PROTOCOL), Over(PROTOCOL), Over(COMPRESSION), Answered(400)];
    let lines = |field: (&'static str, &'static str)| with(&[field]);
    let no = |missing: &str| {
        let kept: Vec<_> = fields("GET", "/", &[]).into_iter().filter(|(name, _)| *name != missing).collect();
        head(&kept)
    };
    let path = |path: &'static str| head(&fields("GET", path, &[]));
    play(vec![
        ("upper case in a name", lines(("X-A", "1")), bad),
        ("a space in a name", lines(("x a", "1")), bad),
        ("a colon in a name", lines(("x:a", "1")), bad),
        ("an empty name", lines(("", "1")), bad),
        ("a line end in a name", lines(("x\r\ny", "1")), bad),
        ("a line end in a value", lines(("x", "1\r\nevil: 2")), bad),
        ("a carriage return in a value", lines(("x", "1\r")), bad),
        ("a line feed in a value", lines(("x", "1\n2")), bad),
        ("a NUL in a value", lines(("x", "1\x002")), bad),
        ("a space before a value", lines(("x", " 1")), bad),
        ("a tab behind a value", lines(("x", "1\t")), bad),
        ("connection", lines(("connection", "close")), bad),
        ("keep-alive", lines(("keep-alive", "5")), bad),
        ("proxy-connection", lines(("proxy-connection", "close")), bad),
        ("transfer-encoding", lines(("transfer-encoding", "chunked")), bad),
        ("upgrade", lines(("upgrade", "h2c")), bad),
        ("te other than trailers", lines(("te", "chunked")), bad),
        ("te: trailers", lines(("te", "trailers")), &[Answered(200)]),
        ("no method", no(":method"), bad),
        ("no path", no(":path"), bad),
        ("no scheme", no(":scheme"), &[Reset(PROTOCOL), Over(PROTOCOL), Answered(400)]),
        ("no authority", no(":authority"), bad),
        (
            "a host instead of an authority",
            head(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "app.example")]),
            &[Answered(200)],
        ),
        ("an empty path", path(""), bad),
        ("a path that is none", path("evil"), bad),
        ("an absolute target as path", path("http://evil.example/"), bad),
        ("a space in the path", path("/ HTTP/1.1\u{20}x"), bad),
        ("a line end in the path", path("/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"), bad),
        ("a line end in the method", head(&fields("GET / HTTP/1.1\r\nHost: e\r\n\r\nGET", "/", &[])), bad),
        ("a small letter in the method", head(&fields("get", "/", &[])), bad),
        (
            "a line end in the authority",
            head(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "app.example\r\nx: 1"),
            ]),
            bad,
        ),
        (
            "a user in the authority",
            head(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "user@app.example"),
            ]),
            bad,
        ),
        ("another host", lines(("host", "evil.example")), bad),
        ("two hosts", with(&[("host", "app.example"), ("host", "app.example")]), bad),
        ("the same host", lines(("host", "app.example")), &[Answered(200)]),
        ("a method twice", with(&[(":method", "GET")]), bad),
        (
            "a pseudo-field behind others",
            head(&[
                (":method", "GET"),
                (":scheme", "http"),
                ("x", "1"),
                (":authority", "app.example"),
                (":path", "/"),
            ]),
            bad,
        ),
        (
            "an unknown pseudo-field",
            head(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "app.example"),
                (":path", "/"),
                (":evil", "1"),
            ]),
            bad,
        ),
        (
            "a pseudo-field of answers",
            head(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "app.example"),
                (":path", "/"),
                (":status", "200"),
            ]),
            bad,
        ),
        (
            "a CONNECT",
            frame(
                HEADERS,
                END_HEADERS,
                1,
                &block(&[(":method", "CONNECT"), (":authority", "app.example:443")]),
            ),
            &[Answered(405), Reset(PROTOCOL)],
        ),
        ("a TRACE", head(&fields("TRACE", "/", &[])), &[Answered(405)]),
        (
            "an extended CONNECT to something else",
            frame(
                HEADERS,
                END_HEADERS,
                1,
                &block(&[
                    (":method", "CONNECT"),
                    (":protocol", "connect-udp"),
                    (":scheme", "http"),
                    (":authority", "app.example"),
                    (":path", "/"),
                ]),
            ),
            &[Answered(405), Reset(PROTOCOL)],
        ),
        ("a length that is none", lines(("content-length", "x")), bad),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "0")]), bad),
        ("a length of two", lines(("content-length", "1, 1")), bad),
        ("a length without a body", lines(("content-length", "5")), bad),
        ("an expectation that is unknown", lines(("expect", "miracles")), &[Answered(417)]),
        (
            "a host nobody knows",
            head(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "other.example")]),
            &[Answered(421)],
        ),
    ]);
}

/// A body that is not what its length says: the application never takes it for a whole request.
#[test]
fn bodies_and_their_lengths() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    for (what, length, body, more) in [
        ("shorter", "10", &b"hello"[..], false),
        ("longer", "3", b"hello", false),
        ("longer later", "5", b"hello", true),
    ] {
        let mut raw = Raw::connect(rig.address);
        raw.send(&post(1, &[("content-length", length)]));
        raw.send(&frame(DATA, if more { 0 } else { END_STREAM }, 1, body));
        if more {
            raw.send(&frame(DATA, END_STREAM, 1, b"!"));
        }
        let taken = outcome(&mut raw);
        assert!(matches!(taken, Reset(PROTOCOL) | Over(PROTOCOL) | Answered(400)), "{what}: {taken:?}");
    }
    assert!(app.seen().iter().all(|seen| !seen.ends_with("hello!")), "{:?}", app.seen());
    let mut raw = Raw::connect(rig.address);
    raw.send(&post(1, &[("content-length", "5")]));
    raw.send(&frame(DATA, END_STREAM, 1, b"hello"));
    assert_eq!(raw.answer(1), (200, b"ok".to_vec()));
    assert!(app.seen().last().unwrap().ends_with("\r\n\r\nhello"));
}

/// Trailers end a request and go no further to an application on HTTP/1.1. Pseudo-fields among them are malformed; the
/// library drops them instead of refusing them, which nobody can take for anything else.
#[test]
fn trailers_of_requests() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    let mut raw = Raw::connect(rig.address);
    raw.send(&post(1, &[]));
    raw.send(&frame(DATA, 0, 1, b"hello"));
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[("x-sum", "1")])));
    assert_eq!(raw.answer(1), (200, b"ok".to_vec()));
    for bad in [(":method", "GET"), ("transfer-encoding", "chunked")] {
        let mut raw = Raw::connect(rig.address);
        raw.send(&post(1, &[]));
        raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[bad])));
        let taken = outcome(&mut raw);
        assert!(matches!(taken, Reset(PROTOCOL) | Over(PROTOCOL) | Answered(200)), "{bad:?}: {taken:?}");
    }
    assert!(app.seen().iter().all(|seen| seen.ends_with("\r\n0\r\n\r\n")), "{:?}", app.seen());
}

#[test]
fn greetings() {
    let app = App::ok();
    let rig = H2Rig::before(&app);
    for greeting in [&b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
    {
        let mut raw = Raw::silent(rig.address);
        raw.send(greeting);
        while raw.next().is_some() {}
    }
    let mut raw = Raw::silent(rig.address);
    raw.send(PREFACE);
    raw.send(&get(1, "/"));
    // RFC 9113, 3.4: here the goodbye may be left out.
    let taken = outcome(&mut raw);
    assert!(matches!(taken, Over(PROTOCOL) | Gone), "settings come first: {taken:?}");
    assert_eq!(app.accepted(), 0);
}

/// What may come once and not for ever: the code says that it was too much, not that it was wrong.
#[test]
fn floods() {
    let app = App::start(|_, conversation| while conversation.request().is_some() {});
    let rig = H2Rig::before(&app);
    let begun = frame(HEADERS, END_STREAM, 1, &block(&fields("GET", "/", &[])));
    let cancelled =
        |number: u32| [get(2 * number + 1, "/"), frame(RST_STREAM, 0, 2 * number + 1, &[0, 0, 0, 8])];
    let overflow = |number: u32| {
        [get(2 * number + 1, "/"), frame(WINDOW_UPDATE, 0, 2 * number + 1, &[0x7f, 0xff, 0xff, 0xff])]
    };
    for (what, bytes) in [
        ("fields that go on and on", joined(&[begun, frame(CONTINUATION, 0, 1, b"").repeat(10)])),
        ("data without a byte", joined(&[post(1, &[]), frame(DATA, 0, 1, b"").repeat(120)])),
        ("requests and their resets", joined(&(0..30).flat_map(cancelled).collect::<Vec<_>>())),
        ("streams the edge has to reset", joined(&(0..90).flat_map(overflow).collect::<Vec<_>>())),
    ] {
        let mut raw = Raw::connect(rig.address);
        raw.send(&bytes);
        let code = raw.until(GOAWAY).map(|frame| frame.code());
        assert_eq!(code, Some(CALM), "{what}");
        // And nothing behind it.
        while let Some(frame) = raw.next() {
            assert_ne!(frame.kind, HEADERS, "{what}");
        }
    }
}
