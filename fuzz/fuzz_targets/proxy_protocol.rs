//! A header of the PROXY protocol that arrives in pieces is read as it is in one, and never longer than its limit.
#![no_main]

use havre_http::proxy_protocol::{LONGEST, Parsed, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    match whole {
        Ok(Parsed::Header(length, said)) => {
            assert!(length <= bytes.len() && length <= LONGEST);
            assert_eq!(parse(&bytes[..length]), Ok(Parsed::Header(length, said)));
            for end in 0..length {
                assert!(
                    matches!(parse(&bytes[..end]), Ok(Parsed::More(more)) if more > 0 && end + more <= length)
                );
            }
        }
        Ok(Parsed::More(more)) => assert!(more > 0 && bytes.len() + more <= LONGEST),
        Err(_) => {}
    }
});
