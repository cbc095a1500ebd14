//! Answers of HTTP/2 applications, written down as text for the strict parser and turned into fields for a client: one head,
//! which says what the application said.
#![no_main]

use havre_http::h1::{Framing, Scratch, head_end, response};
use havre_http::h2::answer;
use http::{HeaderMap, HeaderValue, Response};
use libfuzzer_sys::fuzz_target;

/// Fields that `h2` takes for a malformed answer (RFC 9113, 8.2.2), so that none of them comes this far.
const MALFORMED: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// From `200` or `200 whole` and a field in each further line.
fn made(bytes: &[u8]) -> Option<(Response<()>, bool)> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let (status, is_whole) = first.strip_suffix(b" whole").map_or((first, false), |status| (status, true));
    let mut made = Response::builder().status(status);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        made = made.header(&line[..colon], &line[colon + 1..]);
    }
    let made = made.body(()).ok()?;
    let is_malformed = MALFORMED.iter().any(|name| made.headers().contains_key(*name));
    (!is_malformed).then_some((made, is_whole))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((made, is_whole)) = made(bytes) else { return };
    let text = answer::write(&made, is_whole);
    assert_eq!(head_end(&text, &mut 0), Ok(Some(text.len())), "what is written ends where we say");
    let adds_length = is_whole && !made.headers().contains_key("content-length");
    let lines = text.windows(2).filter(|two| two == b"\r\n").count();
    assert_eq!(lines, made.headers().len() + usize::from(adds_length) + 2, "no field becomes two lines");
    for is_head in [false, true] {
        let mut scratch = Scratch::new();
        let Ok(head) = response::parse(&text, is_head, &mut scratch) else { continue };
        assert_eq!(head.status, made.status().as_u16());
        assert_ne!(head.framing, Framing::Chunked);
        assert!(!adds_length || head.framing == Framing::Empty);
        for name in made.headers().keys() {
            let said = made.headers().get(name).map(|value| value.as_bytes().trim_ascii());
            assert_eq!(head.line(name.as_str()), said);
        }
    }
    // A length that is no text is none.
    let Some(read) = answer::read(&text) else { return };
    assert_eq!(read.size, text.len());
    assert_eq!(read.is_tunnel, made.status() == 101);
    assert_eq!(read.response.status().as_u16(), if read.is_tunnel { 200 } else { made.status().as_u16() });
    let mut fields = HeaderMap::new();
    for (name, value) in made.headers() {
        if !(read.is_tunnel && name == "sec-websocket-accept") {
            let value = HeaderValue::from_bytes(value.as_bytes().trim_ascii()).expect("a part of a value");
            fields.append(name.clone(), value);
        }
    }
    if adds_length {
        fields.insert("content-length", HeaderValue::from_static("0"));
    }
    assert_eq!(*read.response.headers(), fields);
});
