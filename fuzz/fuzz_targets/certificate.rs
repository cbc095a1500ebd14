//! Certificates people upload: read or refused, and what the edge presents is what was checked.
#![no_main]

use havre_core::time::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pem: &[u8]| {
    let _ = havre_x509::inspect::inspect(pem, Timestamp::from_millis(1_790_000_000_000));
    if let Ok(text) = std::str::from_utf8(pem) {
        let _ = havre_x509::inspect::renewal_id(text);
        let _ = havre_x509::inspect::leaf_der(text);
    }
});
