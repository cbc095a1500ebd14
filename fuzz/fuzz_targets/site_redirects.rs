//! `_redirects`: whatever is accepted goes to JSON and back as it is.
#![no_main]

use havre_site::redirects::{RedirectRule, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(rules) = parse(text, |path| path == "/index.html") else { return };
    let json = serde_json::to_string(&rules).expect("write");
    let again: Vec<RedirectRule> = serde_json::from_str(&json).expect("what is accepted is accepted again");
    assert_eq!(rules, again);
});
