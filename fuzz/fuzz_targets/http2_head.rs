//! Fields of an HTTP/2 request, written down as an HTTP/1.1 head: one head, which the strict parser reads as one request.
#![no_main]

use havre_http::h1::{Scratch, head_end, request};
use havre_edge::h2::head_of;
use libfuzzer_sys::fuzz_target;

type Fields<'b> = Vec<(&'b [u8], &'b [u8])>;

fuzz_target!(|input: (&[u8], &[u8], Fields<'_>, bool)| {
    let (method, uri, fields, has_body) = input;
    let mut made = http::Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        made = made.header(name, value);
    }
    let Ok(made) = made.body(()) else { return };
    let (parts, ()) = made.into_parts();
    let mut head = Vec::new();
    if head_of(&mut head, &parts, has_body, 7).is_err() {
        return;
    }
    // A value with a line feed cannot be made with these types; if it could, this would tell.
    assert_eq!(head_end(&head, &mut 0), Ok(Some(head.len())));
    let mut scratch = Scratch::new();
    if let Ok(request) = request::parse(&head, 100, &mut scratch) {
        assert!(has_body || request.framing == havre_http::h1::Framing::Empty, "no body out of nothing");
    }
});
