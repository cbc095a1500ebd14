//! Answers of applications: judged without a panic, and what is passed on stays one head.
#![no_main]

use havre_http::h1::{Scratch, head_end, response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(end)) = head_end(bytes, &mut 0) else { return };
    for is_head in [false, true] {
        let mut scratch = Scratch::new();
        let Ok(head) = response::parse(&bytes[..end], is_head, &mut scratch) else { continue };
        assert!((100..=599).contains(&head.status));
        let mut passed = b"HTTP/1.1 200 OK\r\n".to_vec();
        head.pass_lines(&mut passed);
        passed.extend_from_slice(b"\r\n");
        assert_eq!(head_end(&passed, &mut 0), Ok(Some(passed.len())), "what is passed on ends where we say");
    }
});
