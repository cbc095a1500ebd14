//! Our judgement of request heads against hyper's. Whatever we accept, hyper must understand in the same way:
//! method, target, framing. Whatever hyper refuses, we must refuse. The exceptions are listed with their reasons.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use havre_http::h1::{Framing, Scratch, head_end, request};
use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What a parser understood.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Understood {
    method: String,
    target: String,
    framing: Framing,
}

fn ours(bytes: &[u8]) -> Option<Understood> {
    let end = head_end(bytes, &mut 0).ok()??;
    let mut scratch = Scratch::new();
    let head = request::parse(&bytes[..end], 100, &mut scratch).ok()?;
    Some(Understood {
        method: head.method.to_owned(),
        target: head.origin_form().to_owned(),
        framing: head.framing,
    })
}

fn understood(request: &Request<Incoming>) -> Understood {
    let body = request.body();
    let framing = match body.size_hint().exact() {
        Some(0) => Framing::Empty,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    Understood { method: request.method().to_string(), target: target.to_owned(), framing }
}

/// What hyper's server understands; `None` when it refuses. Nothing follows the head.
fn hypers(bytes: &[u8]) -> Option<Understood> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen: Arc<Mutex<Option<Understood>>> = Arc::default();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 17);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let note = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            // Only the first request is compared.
            note.lock().unwrap().get_or_insert_with(|| understood(&request));
            async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .keep_alive(false)
            .serve_connection(TokioIo::new(server), service)
            .await;
        let _ = client.read_to_end(&mut Vec::new()).await;
    });
    seen.lock().unwrap().take()
}

/// Where hyper may differ from us about heads that we accept.
fn is_exception(ours: &Understood) -> bool {
    // hyper leaves `*` without a path; `path_and_query` then reads `*` as well, but only for OPTIONS.
    ours.method == "OPTIONS" && ours.target == "*"
}

/// Compares, and tells whether there was something to compare.
fn check(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let Some(ours) = ours(bytes) else { return Ok(false) };
    if is_exception(&ours) {
        return Ok(false);
    }
    let theirs = hypers(bytes);
    prop_assert_eq!(Some(ours), theirs, "{:?}", String::from_utf8_lossy(bytes));
    Ok(true)
}

fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Host",
        "host",
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "TRANSFER-ENCODING",
        "Connection",
        "Expect",
        "Upgrade",
        "X-Other",
        "Content_Length",
        "TE",
        "Trailer",
        "Cookie",
    ]);
    let value = prop::sample::select(vec![
        "app.example",
        "app.example:80",
        "[::1]:80",
        "a b",
        "0",
        "5",
        "05",
        "+5",
        "5, 5",
        "5,6",
        "-1",
        "0x5",
        "99999999999999999999",
        "chunked",
        "Chunked",
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "close",
        "keep-alive",
        "upgrade",
        "100-continue",
        "websocket",
        "",
        "x",
        "\u{e9}",
        "a\tb",
    ]);
    let space = prop::sample::select(vec![": ", ":", ":  ", ":\t", " : ", " :"]);
    let end = prop::sample::select(vec![
        "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", " \r\n", "\t\r\n", "\n", "\r\n ", "\r",
    ]);
    (name, prop_oneof![9 => Just(": "), 1 => space], value, prop_oneof![9 => Just("\r\n"), 1 => end])
        .prop_map(|(name, space, value, end)| format!("{name}{space}{value}{end}"))
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec![
        "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "get", "M-SEARCH", "X_Y",
    ]);
    let target = prop::sample::select(vec![
        "/",
        "/a/b?c=d",
        "*",
        "http://app.example/x",
        "http://app.example",
        "http://app.example?x",
        "HTTP://app.example/x",
        "//x",
        "/%00",
        "/a\"b",
        "/{x}|^~`",
        "/?`<>",
        "/\\x",
        "/a;b",
        "/[x]",
        "/?a[]=1|2",
        "app.example:80",
        "/a#b",
        "/?#",
    ]);
    let version =
        prop::sample::select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0"]);
    let host = prop::sample::select(vec!["Host: app.example\r\n", "Host: app.example\r\n", ""]);
    (method, prop_oneof![Just("/a/b?c=d"), target], version, host, prop::collection::vec(line(), 0..3))
        .prop_map(|(method, target, version, host, lines)| {
            format!("{method} {target} {version}\r\n{host}{}\r\n", lines.concat()).into_bytes()
        })
}

/// One byte more, less or different.
#[derive(Debug, Clone)]
enum Change {
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Replace(prop::sample::Index, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![
        prop::sample::select(b"\r\n\t :,;\0\x0b\x7f\x80\xff/?#*@[]{}|<>\"\\`^%0159ctHh".to_vec()),
        any::<u8>(),
    ];
    prop_oneof![
        (any::<prop::sample::Index>(), byte.clone()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<prop::sample::Index>().prop_map(Change::Remove),
        (any::<prop::sample::Index>(), byte).prop_map(|(at, byte)| Change::Replace(at, byte)),
    ]
}

fn apply(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
            Change::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Change::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
        }
    }
    bytes
}

#[test]
fn what_we_accept_hyper_understands_in_the_same_way() {
    let cases: u32 = std::env::var("PROPTEST_CASES").map_or(20_000, |cases| cases.parse().unwrap());
    let mut runner =
        TestRunner::new(ProptestConfig { cases, source_file: Some(file!()), ..ProptestConfig::default() });
    let compared = Cell::new(0_u32);
    let changes = prop_oneof![Just(Vec::new()), prop::collection::vec(change(), 1..4)];
    let strategy = (head(), changes);
    let outcome = runner.run(&strategy, |(head, changes)| {
        compared.set(compared.get() + u32::from(check(&apply(head, &changes))?));
        Ok(())
    });
    if let Err(problem) = outcome {
        panic!("{problem}");
    }
    assert!(
        compared.get() > cases / 20,
        "only {} of {cases} heads were accepted and compared",
        compared.get()
    );
}

/// The comparison compares something: plain heads are accepted by both, and framing is told apart.
#[test]
fn both_accept_plain_heads() {
    for (lines, framing) in [
        ("", Framing::Empty),
        ("Content-Length: 0\r\n", Framing::Empty),
        ("Content-Length: 5\r\n", Framing::Length(5)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
    ] {
        let bytes = format!("POST /a?b HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n");
        let expected = Understood { method: "POST".to_owned(), target: "/a?b".to_owned(), framing };
        assert_eq!(ours(bytes.as_bytes()), Some(expected.clone()));
        assert_eq!(hypers(bytes.as_bytes()), Some(expected));
    }
}
