//! Ranges and conditions of requests for files: a range stays inside of the file, and only what was named matches.
#![no_main]

use havre_http::site::condition::{Part, matches, part};
use libfuzzer_sys::fuzz_target;

const ETAG: &str = "\"0123456789abcdef\"";

/// `Range`, for a file of this size.
fn try_range(range: &str, size: u64) {
    let wanted = part(range, size);
    let of_nothing = part(range, 0);
    match wanted {
        Part::Whole => assert_eq!(of_nothing, Part::Whole, "whether it is a range is no question of size"),
        Part::OutOfRange => assert_eq!(of_nothing, Part::OutOfRange, "a smaller file has no more bytes"),
        Part::Bytes { offset, length } => {
            assert_eq!(of_nothing, Part::OutOfRange);
            let end = offset.checked_add(length).expect("an end");
            assert!(length > 0 && end <= size, "{wanted:?} of {size}");
            assert_eq!(part(&format!("bytes={offset}-{}", end - 1), size), wanted);
        }
    }
    assert_eq!(part(&format!("{range},0-0"), size), Part::Whole, "several ranges are none");
}

/// `If-None-Match`, against a tag of ours.
fn try_tags(tags: &str) {
    if matches(tags, ETAG) {
        assert!(tags.trim() == "*" || tags.contains(ETAG), "{tags}");
    }
    assert!(matches(&format!("{tags}, {ETAG}"), ETAG), "one of several is enough");
    assert!(matches(&format!("W/{ETAG},{tags}"), ETAG), "weak comparison");
}

fuzz_target!(|text: &str| {
    // Size of the file, `Range`, `If-None-Match`.
    let mut lines = text.splitn(3, '\n');
    let Some(size) = lines.next().and_then(|size| size.parse().ok()) else { return };
    try_range(lines.next().unwrap_or_default(), size);
    try_tags(lines.next().unwrap_or_default());
});
