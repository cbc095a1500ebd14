//! Signatures of texts that stay: HMAC-SHA256 under a key that is derived from the master key, which is not in the store. They show that this
//! installation wrote a text and that nobody changed it since, to whoever asks this installation; to anybody else they prove nothing, because
//! who can check one can also make one. Tests at the end of the file.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::seal::{MasterKey, hex, unhex};

/// What a text is: each purpose has a key of its own, so that a signature of one is none of another.
const PURPOSE: &[u8] = b"havre signature 1\0report of a drill";

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn over(key: &MasterKey, text: &str) -> Hmac<Sha256> {
    let mut derived = keyed(key.bytes());
    derived.update(PURPOSE);
    let mut code = keyed(&derived.finalize().into_bytes());
    code.update(text.as_bytes());
    code
}

/// The signature of a report, in hex.
pub(crate) fn sign_report(key: &MasterKey, text: &str) -> String {
    hex(&over(key, text).finalize().into_bytes())
}

/// Whether it is the signature of this report.
pub(crate) fn is_report_signed(key: &MasterKey, text: &str, signature: &str) -> bool {
    unhex(signature).is_some_and(|tag| over(key, text).verify_slice(&tag).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_text_and_one_installation() {
        let (ours, other) = (MasterKey::new([7; 32]), MasterKey::new([8; 32]));
        let signature = sign_report(&ours, "passed");
        assert_eq!(signature.len(), 64);
        assert_eq!(signature, sign_report(&ours, "passed"));
        assert!(is_report_signed(&ours, "passed", &signature));
        assert!(!is_report_signed(&ours, "failed", &signature));
        assert!(!is_report_signed(&other, "passed", &signature));
        for wrong in ["", "00", &signature[1..], &"0".repeat(64)] {
            assert!(!is_report_signed(&ours, "passed", wrong), "{wrong:?}");
        }
    }
}
