//! `havre.toml` becomes a manifest or errors with their lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = havre_manifest::parse(text);
});
