//! Trace context: judged as the recommendation says it, and what the edge makes itself is valid.
#![no_main]

use havre_http::trace::{LENGTH, fresh, is_valid};
use libfuzzer_sys::fuzz_target;

/// The rules once more, part by part.
fn is_right(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let mut parts = text.splitn(5, '-');
    let mut next = |length: usize| {
        let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        parts.next().filter(|part| part.len() == length).filter(is_hex)
    };
    let (Some(version), Some(trace), Some(span), Some(_)) = (next(2), next(32), next(16), next(2)) else {
        return false;
    };
    let has_more = parts.next().is_some();
    let is_nothing = |part: &str| part.bytes().all(|byte| byte == b'0');
    version != "ff" && !(version == "00" && has_more) && !is_nothing(trace) && !is_nothing(span)
}

fuzz_target!(|value: &[u8]| {
    // What follows in a later version may be any bytes.
    let start = value.get(..LENGTH + 1).unwrap_or(value);
    assert_eq!(is_valid(value), is_right(start));
    if is_valid(value) {
        assert!(!is_valid(&value[1..]) && !is_valid(&value[..LENGTH - 1]));
    }
    if let Some(number) =
        value.first_chunk::<16>().map(|bytes| u128::from_be_bytes(*bytes)).filter(|number| *number > 0)
    {
        assert!(is_valid(&fresh(number)) && is_right(&fresh(number)));
    }
});
