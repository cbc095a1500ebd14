//! Access tokens: `havre_` and 64 hex digits of 32 random bytes. Only the SHA-256 is kept; a fast hash is right
//! here, because 256 random bits cannot be guessed. Tests at the end of the file.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What makes a token easy to find where it should not be, by people and by secret scanners.
pub(crate) const PREFIX: &str = "havre_";

/// Text of a token.
pub(crate) fn text(random: [u8; 32]) -> String {
    random.iter().fold(PREFIX.to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// What is kept of a token; `None` for text that cannot be one.
pub(crate) fn hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(PREFIX)?;
    let is_token =
        digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_token.then(|| Sha256::digest(text.as_bytes()).into())
}

/// Compares without telling by its duration where the difference is.
pub(crate) fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_each_token() {
        let token = text([0xab; 32]);
        assert_eq!(token, format!("havre_{}", "ab".repeat(32)));
        let kept = hash(&token).expect("is a token");
        assert!(is_same(&kept, &hash(&token).expect("is a token")));
        assert!(!is_same(&kept, &hash(&text([0xac; 32])).expect("is a token")));
        for wrong in ["", "havre_", &token[6..], &token.to_uppercase(), &format!("{token}0"), &token[..69]] {
            assert_eq!(hash(wrong), None, "{wrong:?} must not be a token");
        }
    }
}
