//! Conditional and partial requests of RFC 9110: `If-None-Match`, `Range`, `If-Range`. Purely text.
//! Tests: `tests/it/site.rs` of the edge.

/// What a `Range` header asks of a file of known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything: no range, several ranges, or one we do not understand (RFC 9110 lets a server ignore it).
    Whole,
    /// `length` bytes from `offset`; `length` is at least 1.
    Bytes {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
    },
    /// The file has no such byte.
    OutOfRange,
}

/// Whether `If-None-Match` names `etag`. Weak comparison, as the RFC asks for this header.
pub fn matches(if_none_match: &str, etag: &str) -> bool {
    if_none_match.trim() == "*"
        || if_none_match.split(',').any(|tag| {
            let tag = tag.trim();
            tag.strip_prefix("W/").unwrap_or(tag) == etag
        })
}

/// The part of a file of `size` bytes that `range` asks for.
pub fn part(range: &str, size: u64) -> Part {
    let Some((unit, spec)) = range.split_once('=') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    match (number(first), number(last)) {
        (Some(Number::Value(first)), Some(Number::Value(last))) if first > last => Part::Whole,
        (Some(Number::Value(first)), Some(last)) => {
            if first >= size {
                return Part::OutOfRange;
            }
            let last = match last {
                Number::Value(last) => last.min(size - 1),
                Number::Absent => size - 1,
            };
            Part::Bytes { offset: first, length: last - first + 1 }
        }
        (Some(Number::Absent), Some(Number::Value(suffix))) => {
            let length = suffix.min(size);
            if length == 0 {
                return Part::OutOfRange;
            }
            Part::Bytes { offset: size - length, length }
        }
        _ => Part::Whole,
    }
}

enum Number {
    Value(u64),
    Absent,
}

/// Digits only; a number beyond `u64` is beyond every file as well.
fn number(text: &str) -> Option<Number> {
    if text.is_empty() {
        return Some(Number::Absent);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.len() > 64 {
        return None;
    }
    Some(Number::Value(text.parse().unwrap_or(u64::MAX)))
}
