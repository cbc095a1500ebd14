//! What applications answer, byte by byte: what is right comes out in one form, what is wrong becomes a 502, what
//! breaks off is visibly broken off.

use crate::rig::{App, Rig};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: i\r\n\r\n";
const GET10: &str = "GET / HTTP/1.0\r\nHost: app.example\r\nX-Request-Id: i\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: i\r\n\r\n";

/// The lines the edge adds; the service shows its release.
const OURS: &str = "Havre-Release: r1\r\nX-Request-Id: i\r\n";

/// An application that sends `answer` and closes.
fn closing(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> App {
    App::start(move |_, conversation| {
        conversation.request();
        conversation.client.send(answer.as_ref());
    })
}

#[test]
fn answers_that_break_a_rule_become_502() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(40_000));
    let interim =
        "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(300));
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 600 No\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 20 No\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "ok\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        &long,
        &interim,
        &lines,
    ] {
        let app = closing(answer.to_owned());
        let rig = Rig::before(&app);
        let mut client = rig.connect();
        let (mut head, mut body) = client.ask(GET);
        while head.starts_with("HTTP/1.1 103 ") {
            (head, body) = client.message().unwrap();
        }
        assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer:.80?}: {head}");
        assert!(head.contains("\r\nHavre-Error: bad-answer\r\n"), "{answer:.80?}: {head}");
        assert!(body.contains("Request i\n"), "{body}");
        assert_eq!(app.seen().len(), 1, "{answer:.80?}");
    }
}

#[test]
fn an_application_that_says_nothing_or_half_a_head_is_a_502() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let app = closing(answer);
        let rig = Rig::before(&app);
        let (head, _) = rig.connect().ask(GET);
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert!(head.contains("\r\nHavre-Error: no-answer\r\n"), "{head}");
    }
}

/// Whole answers on connections that stay open: request, answer of the application, answer to the client.
#[test]
fn answers_come_out_in_one_form() {
    let chunks =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1;x=y\r\no\r\n01\r\nk\r\n0\r\nX-Sum: 1\r\n\r\n";
    let cases = [
        (
            GET,
            chunks,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{OURS}\r\n2\r\nok\r\n0\r\n\r\n"),
        ),
        (
            GET,
            "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nServer: x\r\nConnection: X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 5\r\n\
             X-Request-Id: other\r\nHavre-Release: r9\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nok",
            format!(
                "HTTP/1.1 200 Fine\r\nServer: x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n{OURS}\r\nok"
            ),
        ),
        (
            GET,
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            format!("HTTP/1.1 200 \r\nContent-Length: 0\r\n{OURS}\r\n"),
        ),
        (
            GET,
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            format!("HTTP/1.1 204 No Content\r\n{OURS}\r\n"),
        ),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n{OURS}\r\n"),
        ),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{OURS}\r\n"),
        ),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\n{OURS}\r\n"),
        ),
        (
            GET,
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            format!(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n{OURS}\r\n"
            ),
        ),
        (
            "GET / HTTP/1.0\r\nHost: app.example\r\nConnection: keep-alive\r\nX-Request-Id: i\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{OURS}Connection: keep-alive\r\n\r\nok"),
        ),
    ];
    for (request, answer, expected) in cases {
        let app = App::answering(answer);
        let rig = Rig::before(&app);
        let mut client = rig.connect();
        for _ in 0..3 {
            client.send(request.as_bytes());
            let got = String::from_utf8(client.take(expected.len())).unwrap();
            assert_eq!(got, expected, "{answer:?}");
        }
        assert_eq!((app.accepted(), app.seen().len()), (1, 3), "{answer:?}");
        client.end_sending();
        assert_eq!(client.rest(), "", "{answer:?}");
    }
}

/// Answers that end with a connection: the application's, the client's, or both.
#[test]
fn answers_framed_by_the_end_of_a_connection() {
    let close = format!("{OURS}Connection: close\r\n\r\n");
    let until_close = "HTTP/1.1 200 OK\r\n\r\nok";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let cases = [
        (
            GET.replace("X-R", "Connection: close\r\nX-R"),
            until_close,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{close}2\r\nok\r\n0\r\n\r\n"),
        ),
        (GET10.to_owned(), until_close, format!("HTTP/1.1 200 OK\r\n{close}ok")),
        (GET10.to_owned(), chunks, format!("HTTP/1.1 200 OK\r\n{close}ok")),
        (
            GET10.to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}ok"),
        ),
    ];
    for (request, answer, expected) in cases {
        let app = closing(answer);
        let rig = Rig::before(&app);
        let mut client = rig.connect();
        client.send(request.as_bytes());
        assert_eq!(client.rest(), expected, "{request:?} {answer:?}");
        assert!(!client.was_reset);
    }
}

#[test]
fn a_close_delimited_answer_does_not_end_a_modern_clients_connection() {
    let app = closing("HTTP/1.1 200 OK\r\n\r\nok");
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    assert_eq!(client.ask(GET).1, "2\r\nok\r\n0\r\n\r\n");
    assert_eq!(client.ask(GET).1, "2\r\nok\r\n0\r\n\r\n");
    assert_eq!(app.accepted(), 2);
}

/// The client must be able to tell that something is missing.
#[test]
fn an_answer_that_breaks_off_is_visibly_broken_off() {
    let big = "x".repeat(100_000);
    let cases = [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel".to_owned()),
        (GET, format!("HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n{big}")),
        (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel".to_owned()),
        (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n".to_owned()),
        (GET10, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n".to_owned()),
    ];
    for (request, answer) in cases {
        let app = closing(answer.clone());
        let rig = Rig::before(&app);
        let mut client = rig.connect();
        client.send(request.as_bytes());
        let got = client.rest();
        assert!(!got.ends_with("0\r\n\r\n"), "{answer:.80?}: {got:.200}");
        assert!(client.was_reset, "{answer:.80?}");
        let table = rig.shared.table.load();
        let upstream = &table.members().next().unwrap().upstream;
        crate::rig::eventually("the error is counted", || {
            (upstream.errors(), upstream.in_flight()) == (1, 0)
        });
    }
}

#[test]
fn chunks_that_turn_wrong_later_are_cut() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let app = App::start(move |_, conversation| {
        conversation.request();
        conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n");
        wait.lock().unwrap().recv().unwrap();
        conversation.send("x\r\nlo\r\n0\r\n\r\n");
        conversation.request();
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(GET.as_bytes());
    client.head();
    assert_eq!(client.take(8), b"3\r\nhel\r\n");
    go.send(()).unwrap();
    assert_eq!(client.rest(), "");
    assert!(client.was_reset);
}

/// Bytes behind an answer are nobody's answer: the client does not see them, and the next request does not get them.
#[test]
fn bytes_behind_an_answer_are_dropped_with_their_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        let app = App::answering(answer);
        let rig = Rig::before(&app);
        let mut client = rig.connect();
        for _ in 0..3 {
            let (_, body) = client.ask(GET);
            assert!(body == "ok" || body.is_empty(), "{body}");
        }
        assert_eq!(app.accepted(), 3, "{answer:?}");
    }
}
