//! Ambiguous and broken requests, sent byte by byte as written here: each is refused, or handled in the one way
//! the rules allow, and nothing of a refused one reaches the application.

use super::{Rig, SCHEME};
use crate::rig::{App, live};

/// The request that must still work after each of the others.
const PLAIN: &str = "GET /plain HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// The lines the edge adds for a client on this machine, and the end of the head; `ID` is the request id.
fn tail(id: &str) -> String {
    format!(
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {SCHEME}\r\nX-Forwarded-Host: app.example\r\n\
         Forwarded: for=127.0.0.1;host=app.example;proto={SCHEME}\r\nX-Request-Id: {id}\r\n\r\n"
    )
}

fn code_of(answer: &str) -> Option<&str> {
    answer.split("\r\nHavre-Error: ").nth(1).and_then(|rest| rest.split("\r\n").next())
}

/// Request, code, status.
const REFUSED: &[(&str, &str, u16)] = &[
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "length-and-encoding",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "length-and-encoding",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "two-lengths",
        400,
    ),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2, 2\r\n\r\nhi", "bad-length", 400),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: +2\r\n\r\nhi", "bad-length", 400),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: -2\r\n\r\nhi", "bad-length", 400),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0x2\r\n\r\nhi", "bad-length", 400),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length:\r\n\r\nhi", "bad-length", 400),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: \t2\r\n\r\nhi", "bad-length", 400),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 18446744073709551618\r\n\r\nhi",
        "bad-length",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two-encodings",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "two-encodings",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "bad-encoding",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "bad-encoding",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "bad-encoding",
        501,
    ),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: identity\r\n\r\n", "bad-encoding", 501),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding:\r\n\r\n", "bad-encoding", 501),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: \tchunked\r\n\r\n0\r\n\r\n",
        "bad-encoding",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
        "bad-encoding",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "bad-encoding",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "bad-head",
        400,
    ),
    (
        "POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "encoding-on-http10",
        400,
    ),
    ("GET / HTTP/1.1\nHost: app.example\n\n", "bare-line-feed", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\nX: y\r\n\r\n", "bare-line-feed", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\n\n", "bare-line-feed", 400),
    ("\n\nGET / HTTP/1.1\r\nHost: app.example\r\n\r\n", "bare-line-feed", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX: a\rb\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX: a\r\n b\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX: a\r\n\tb\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\n Host: app.example\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX: a\0b\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX\0: a\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX : a\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost : app.example\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX\u{e9}: a\r\n\r\n", "bad-head", 400),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n",
        "bad-head",
        400,
    ),
    ("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nX\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\n: a\r\n\r\n", "bad-head", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nHost: app.example\r\n\r\n", "two-hosts", 400),
    ("GET / HTTP/1.1\r\nHost: app.example\r\nHost: other.example\r\n\r\n", "two-hosts", 400),
    ("GET / HTTP/1.1\r\n\r\n", "no-host", 400),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad-host", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad-host", 400),
    ("GET / HTTP/1.1\r\nHost: user@app.example\r\n\r\n", "bad-host", 400),
    ("GET / HTTP/1.1\r\nHost: app.example/x\r\n\r\n", "bad-host", 400),
    ("GET / HTTP/1.1\r\nHost: app.example, other.example\r\n\r\n", "bad-host", 400),
    ("GET / HTTP/1.1\r\nHost: app.example:99999\r\n\r\n", "bad-host", 400),
    ("GET / HTTP/1.1\r\nHost: app.example:+80\r\n\r\n", "bad-host", 400),
    ("GET / HTTP/1.1\r\nHost: app.example:\r\n\r\n", "bad-host", 400),
    ("GET http://other.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n", "host-mismatch", 400),
    ("GET http://app.example:81/ HTTP/1.1\r\nHost: app.example\r\n\r\n", "host-mismatch", 400),
    ("GET http://user@app.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET ftp://app.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET app.example HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET * HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET /a#b HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET /\u{e9} HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET /a\"b HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET /?a=\"b HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET /a`b HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET /?a=<b> HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-target", 400),
    ("GET /a b HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-head", 400),
    ("GET  / HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-head", 400),
    ("GET /\tHTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-head", 400),
    ("get / HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-method", 400),
    ("G(T / HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-head", 400),
    (" GET / HTTP/1.1\r\nHost: app.example\r\n\r\n", "bad-head", 400),
    ("CONNECT app.example:80 HTTP/1.1\r\nHost: app.example:80\r\n\r\n", "method-not-served", 405),
    ("TRACE / HTTP/1.1\r\nHost: app.example\r\n\r\n", "method-not-served", 405),
    ("GET / HTTP/1.2\r\nHost: app.example\r\n\r\n", "bad-version", 505),
    ("GET / HTTP/2.0\r\nHost: app.example\r\n\r\n", "bad-version", 505),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad-version", 505),
    ("GET /\r\n\r\n", "bad-head", 400),
    ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\r\n\r\n", "bad-head", 400),
    (
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\nExpect: 200-ok\r\n\r\nhi",
        "unknown-expectation",
        417,
    ),
    (
        "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n",
        "too-many-connection-names",
        400,
    ),
];

#[test]
fn refused_requests_reach_nobody() {
    let app = App::ok();
    let rig = Rig::before(&app);
    for (request, code, status) in REFUSED {
        let answer = rig.last_word(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert_eq!(code_of(&answer), Some(*code), "{request:?}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{request:?}: {answer}");
        assert_eq!(answer.matches("\r\nHavre-Error: ").count(), 1, "{request:?}: {answer}");
    }
    assert_eq!(app.seen(), Vec::<String>::new());
    assert_eq!(app.accepted(), 0);
    assert_eq!(rig.connect().ask(PLAIN).1, "ok");
}

/// Any byte that is no part of a token (RFC 9110, 5.6.2); lines that end early and a colon are other cases.
#[test]
fn names_of_header_lines_are_tokens() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for byte in (0..=u8::MAX).filter(|byte| !is_token(*byte) && !b"\r\n:".contains(byte)) {
        let request = [&b"GET / HTTP/1.1\r\nHost: app.example\r\nX"[..], &[byte], b"Y: a\r\n\r\n"].concat();
        let answer = rig.last_word(&request);
        assert_eq!(code_of(&answer), Some("bad-head"), "{byte:#x}: {answer}");
    }
    assert_eq!(app.accepted(), 0);
}

#[test]
fn chunks_that_are_wrong_from_the_start_reach_nobody() {
    let app = App::ok();
    let rig = Rig::before(&app);
    for body in [
        "2\nhi\r\n0\r\n\r\n",
        "2\r\nhi\n0\r\n\r\n",
        "2\r\nhiX\r\n0\r\n\r\n",
        "2;a\nb\r\nhi\r\n0\r\n\r\n",
        "2 \r\nhi\r\n0\r\n\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
        "g\r\nhi\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi\r\n0\r\nX: a\n\r\n",
        "2\r\nhi\r\n0\r\n\n",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = rig.last_word(format!("{head}{body}").as_bytes());
        assert_eq!(code_of(&answer), Some("bad-chunk"), "{body:?}: {answer}");
        assert_eq!(answer.matches("\r\nHavre-Error: ").count(), 1, "{body:?}: {answer}");
    }
    assert_eq!(app.accepted(), 0);
}

/// Each is forwarded exactly once, in exactly this form.
#[test]
fn what_is_accepted_is_forwarded_in_one_form() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let chunked = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n";
    let cases = [
        (
            "GET http://app.example/a?b=c HTTP/1.1\r\nHost: APP.example:80\r\nX-Request-Id: i\r\n\r\n".to_owned(),
            format!(
                "GET /a?b=c HTTP/1.1\r\nHost: APP.example:80\r\n\
                 X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {SCHEME}\r\nX-Forwarded-Host: APP.example:80\r\n\
                 Forwarded: for=127.0.0.1;host=\"APP.example:80\";proto={SCHEME}\r\nX-Request-Id: i\r\n\r\n"
            ),
        ),
        (
            "GET http://app.example HTTP/1.0\r\nX-Request-Id: i\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\nHost: app.example\r\n{}", tail("i")),
        ),
        (
            "GET /{a}|[b]^\\?c=`d`{e}&f[]=/? HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: i\r\n\r\n".to_owned(),
            format!("GET /{{a}}|[b]^\\?c=`d`{{e}}&f[]=/? HTTP/1.1\r\nHost: app.example\r\n{}", tail("i")),
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: i\r\n\r\n".to_owned(),
            format!("OPTIONS * HTTP/1.1\r\nHost: app.example\r\n{}", tail("i")),
        ),
        (
            "\r\nPOST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0002\r\nX-Request-Id: i\r\n\r\nhi"
                .to_owned(),
            format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n{}hi", tail("i")),
        ),
        (
            format!("{chunked}X-Request-Id: i\r\nTrailer: X-Sum\r\n\r\n1;a=b\r\nh\r\n01\r\ni\r\n0;z\r\nX-Sum: 1\r\n\r\n"),
            format!(
                "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n{}2\r\nhi\r\n0\r\n\r\n",
                tail("i")
            ),
        ),
        (
            "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close, X-Secret, Host, X-Forwarded-For, Content-Length\r\n\
             X-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nProxy: evil\r\n\
             X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n\
             X-Real-IP: 6.6.6.6\r\nHavre-Probe: guess\r\nAccept:  text/html \r\nX-Request-Id: i\r\n\r\n"
                .to_owned(),
            format!("GET / HTTP/1.1\r\nHost: app.example\r\nAccept:  text/html \r\n{}", tail("i")),
        ),
        (
            "POST / HTTP/1.1\r\nX-Request-Id: i\r\nhOST: app.example\r\n\r\n".to_owned(),
            format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n{}", tail("i")),
        ),
    ];
    let mut expected = Vec::new();
    for (request, forwarded) in cases {
        let mut client = rig.connect();
        let (head, body) = client.ask(&request);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{request:?}: {head}");
        assert_eq!(body, "ok", "{request:?}");
        expected.push(forwarded);
        assert_eq!(app.seen(), expected);
    }
}

/// h2c and unknown protocols are ordinary requests; what follows is a request of its own, routed again.
#[test]
fn an_upgrade_to_anything_but_a_websocket_is_an_ordinary_request() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(
        b"GET /a HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: foo\r\nX-Request-Id: a\r\n\r\n\
          GET /b HTTP/1.1\r\nHost: other.example\r\n\r\n",
    );
    assert_eq!(client.message().unwrap().1, "ok");
    let (head, _) = client.message().unwrap();
    assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
    assert_eq!(app.seen(), [format!("GET /a HTTP/1.1\r\nHost: app.example\r\n{}", tail("a"))]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = App::start(|_, conversation| {
        while let Some(request) = conversation.request() {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            conversation.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    let mut all = String::new();
    for number in 0..50 {
        let method = if number % 3 == 0 { "POST" } else { "GET" };
        let (line, body) = if method == "POST" { ("Content-Length: 3\r\n", "abc") } else { ("", "") };
        all.push_str(&format!("{method} /{number} HTTP/1.1\r\nHost: app.example\r\n{line}\r\n{body}"));
    }
    client.send(all.as_bytes());
    for number in 0..50 {
        assert_eq!(client.message().unwrap().1, format!("/{number}"));
    }
    assert_eq!(app.seen().len(), 50);
}

#[test]
fn heads_over_the_limits_are_refused_with_431_or_414() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let head = |lines: &str| format!("GET /plain HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n");
    let cases = [
        (head(&"X: y\r\n".repeat(99)), None),
        (head(&"X: y\r\n".repeat(100)), Some("too-many-header-lines")),
        (head(&format!("X: {}\r\n", "y".repeat(32_000))), None),
        (head(&format!("X: {}\r\n", "y".repeat(33_000))), Some("head-too-long")),
        (
            format!("GET /{} HTTP/1.1\r\nHost: app.example\r\n\r\n", "y".repeat(33_000)),
            Some("request-line-too-long"),
        ),
    ];
    for (request, code) in cases {
        let mut client = rig.connect();
        let (answer, _) = client.ask(&request);
        assert_eq!(code_of(&answer), code, "{answer}");
    }
    assert_eq!(app.seen().len(), 2);
}

/// Byte by byte, with a pause that makes each byte its own read.
#[test]
fn a_request_in_single_bytes_is_the_same_request() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    let request = "POST /x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nX-Request-Id: i\r\n\r\n\
                   5\r\nhello\r\n0\r\n\r\n";
    for byte in request.as_bytes() {
        client.send(&[*byte]);
        std::thread::yield_now();
    }
    assert_eq!(client.message().unwrap().1, "ok");
    let seen = app.seen().concat();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        format!("{head}\r\n\r\n"),
        format!("POST /x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n{}", tail("i"))
    );
    let data: String =
        body.split("\r\n").enumerate().filter(|(index, _)| index % 2 == 1).map(|(_, part)| part).collect();
    assert_eq!(data, "hello");
}

#[test]
fn a_body_over_the_limit_of_its_service_is_refused() {
    let app = App::ok();
    let mut table = live(&[app.address]);
    table.services.get_mut("api").unwrap().limits.max_body_bytes = 4;
    let rig = Rig::start(Default::default(), &table);
    let post = |rest: &str| format!("POST / HTTP/1.1\r\nHost: app.example\r\n{rest}");
    for request in [
        post("Content-Length: 5\r\n\r\nhello"),
        post("Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let answer = rig.last_word(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 413 "), "{request:?}: {answer}");
        assert_eq!(code_of(&answer), Some("body-too-large"));
    }
    assert_eq!(app.accepted(), 0);
    assert_eq!(rig.connect().ask(&post("Content-Length: 4\r\n\r\nhell")).1, "ok");
}
