//! Requests towards HTTP/2 applications: a head the strict parser took, as the edge writes it, becomes that very request.
#![no_main]

use havre_http::h1::{Framing, Scratch, head_end, request};
use havre_http::h2::request::{Body, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(end)) = head_end(bytes, &mut 0) else { return };
    let mut scratch = Scratch::new();
    let Ok(head) = request::parse(&bytes[..end], 100, &mut scratch) else { return };
    let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", head.method, head.origin_form(), head.authority)
        .into_bytes();
    head.pass_lines(&mut text);
    let body = match head.framing {
        Framing::Length(length) => {
            text.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
            Body::Length(length)
        }
        Framing::Chunked => {
            text.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            Body::Open
        }
        Framing::Empty | Framing::UntilClose => Body::None,
    };
    text.extend_from_slice(b"\r\n");
    // The types of HTTP/2 refuse some hosts and paths of HTTP/1.1; then the application is not asked.
    let Some(made) = read(&text, "http") else { return };
    assert_eq!((made.size, made.body), (text.len(), body));
    assert_eq!(made.request.method().as_str(), head.method);
    let uri = made.request.uri();
    assert_eq!(uri.authority().map(|authority| authority.as_str()), Some(head.authority));
    assert_eq!(uri.path_and_query().map(|target| target.as_str()), Some(head.origin_form()));
    for name in ["host", "connection", "transfer-encoding", "upgrade"] {
        assert!(!made.request.headers().contains_key(name), "{name} is said otherwise in HTTP/2");
    }
});
