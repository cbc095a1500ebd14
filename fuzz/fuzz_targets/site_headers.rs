//! `_headers`: whatever is accepted goes to JSON and back as it is, with values that fit a header line.
#![no_main]

use havre_site::headers::{HeaderRule, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(rules) = parse(text) else { return };
    let json = serde_json::to_string(&rules).expect("write");
    let again: Vec<HeaderRule> = serde_json::from_str(&json).expect("what is accepted is accepted again");
    assert_eq!(rules, again);
});
