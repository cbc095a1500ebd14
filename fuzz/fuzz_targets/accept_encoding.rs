//! `Accept-Encoding`, as answers of applications and files of sites are chosen by it: only what the client takes is sent, and
//! what it does not know changes nothing.
#![no_main]

use havre_site::document::Encoding;
use havre_http::policy::{Coding, accepted};
use havre_http::site::encoding::choose;
use libfuzzer_sys::fuzz_target;

/// Whether the text speaks of a coding at all, by its name or by the star.
fn names(text: &str, coding: &str) -> bool {
    text.contains('*') || text.to_ascii_lowercase().contains(coding)
}

/// For what an application answers: the first mention of a coding counts.
fn try_stream(text: &str) {
    let taken = |text: &str| accepted(Some(text.as_bytes()));
    let coding = taken(text);
    assert!(coding.is_none_or(|coding| names(text, coding.name())), "{coding:?} of {text}");
    assert_eq!(taken(&format!("{text},unknown")), coding);
    assert_eq!(taken(&format!("unknown;q=1,{text}")), coding);
    for refused in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
        assert_ne!(taken(&format!("{};q=0,{text}", refused.name())), Some(refused));
    }
}

/// For files: the last mention counts, and only what was made is sent.
fn try_file(text: &str, sizes: [u64; 3]) {
    let encoding = choose(Some(text), sizes);
    assert_eq!(choose(Some(format!("{text},unknown").as_str()), sizes), encoding);
    for (place, made) in Encoding::ALL.into_iter().enumerate() {
        if encoding == Some(made) {
            assert!(sizes[place] > 0 && names(text, made.name()), "{made:?} of {text}");
        }
        assert_ne!(choose(Some(format!("{text},{};q=0", made.name()).as_str()), sizes), Some(made));
    }
    assert_eq!(choose(Some(text), [0; 3]), None);
}

fuzz_target!(|text: &str| {
    for sizes in [[10, 12, 15], [15, 12, 10], [0, 12, 15], [10, 0, 0]] {
        try_file(text, sizes);
    }
    try_stream(text);
});
