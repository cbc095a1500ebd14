//! Name and password of a request: what is encoded is read, split and bounded as it was meant, and written down again it is the same.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use havre_http::policy::credentials;
use libfuzzer_sys::fuzz_target;

/// What is read of these bytes, sent as a browser sends them.
fn sent(both: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    credentials(format!("Basic {}", BASE64_STANDARD.encode(both)).as_bytes())
}

/// At the first colon.
fn split(both: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = both.iter().position(|byte| *byte == b':')?;
    Some((both[..colon].to_vec(), both[colon + 1..].to_vec()))
}

fuzz_target!(|bytes: &[u8]| {
    // As name and password themselves.
    assert_eq!(sent(bytes), split(bytes).filter(|_| bytes.len() <= 512));
    // As the header.
    let read = credentials(bytes);
    if let Some((user, password)) = &read {
        assert!(!user.contains(&b':'));
        assert_eq!(sent(&[user.as_slice(), b":", password.as_slice()].concat()), read);
    }
    let text = bytes.strip_prefix(b"Basic ").filter(|text| text.len() <= 1024);
    if let Some(Ok(both)) = text.map(|text| BASE64_STANDARD.decode(text)) {
        assert_eq!(read, split(&both).filter(|_| both.len() <= 512));
    }
});
