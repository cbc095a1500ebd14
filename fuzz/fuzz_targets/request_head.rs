//! A head we accept has one meaning: passed on, it is accepted again with the same one.
#![no_main]

use havre_http::h1::{Scratch, head_end, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes_at_a_time = 0;
    let whole = head_end(bytes, &mut 0);
    // Arriving byte by byte changes nothing.
    let pieces = (0..=bytes.len())
        .map(|end| head_end(&bytes[..end], &mut bytes_at_a_time))
        .find(|found| found != &Ok(None));
    assert_eq!(whole, pieces.unwrap_or(Ok(None)));
    let Ok(Some(end)) = whole else { return };
    let mut scratch = Scratch::new();
    let Ok(head) = request::parse(&bytes[..end], 100, &mut scratch) else { return };
    let mut passed =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n", head.method, head.origin_form(), head.authority)
            .into_bytes();
    head.pass_lines(&mut passed);
    passed.extend_from_slice(b"\r\n");
    assert_eq!(head_end(&passed, &mut 0), Ok(Some(passed.len())), "what is passed on ends where we say");
    let lines = passed.windows(2).filter(|two| two == b"\r\n").count();
    assert!(lines <= 100 + 3, "no line becomes two");
    // HTTP/1.0 may name no host.
    if head.host.is_empty() {
        return;
    }
    let mut scratch = Scratch::new();
    let again = request::parse(&passed, 256, &mut scratch).expect("what is passed on is legal");
    assert_eq!((again.method, again.origin_form(), again.host), (head.method, head.origin_form(), head.host));
});
