//! The salt: the key that makes masks the same in every table and in every copy, and that nobody can turn back without it. It comes from
//! a sealed secret, never from `privacy.toml`. Tests: at the end.

use std::fmt;

use havre_core::secret::Secret;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Fewest bytes of a salt: 128 bits, where they are random.
pub const SALT_MIN: usize = 16;

/// A salt that is too short to protect anything: names and dates can be guessed, so only the salt keeps them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the salt has {bytes} bytes, at least {SALT_MIN} are needed")]
pub struct SaltError {
    /// How many it has.
    pub bytes: usize,
}

/// HMAC-SHA-256 under the salt. Cannot be printed.
#[derive(Clone)]
pub struct Salt(Hmac<Sha256>);

impl Salt {
    /// Takes the secret as the key.
    ///
    /// # Errors
    /// It is shorter than [`SALT_MIN`].
    pub fn new(secret: &Secret) -> Result<Self, SaltError> {
        let bytes = secret.expose();
        if bytes.len() < SALT_MIN {
            return Err(SaltError { bytes: bytes.len() });
        }
        Ok(Self(Hmac::<Sha256>::new_from_slice(bytes).expect("HMAC takes keys of every length")))
    }

    /// What a person may be called in a record of what was done: the same for the same value, and without the salt nobody can tell whose it is.
    pub fn pseudonym(&self, value: &str) -> String {
        hex(&self.tag("person", value.as_bytes()), 32)
    }

    /// What stands for a value of one kind. A kind has no zero byte, so that nothing moves from one part into the other.
    pub(crate) fn tag(&self, kind: &str, value: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(value);
        mac.finalize().into_bytes().into()
    }

    /// The same as a number.
    pub(crate) fn number(&self, kind: &str, value: &[u8]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.tag(kind, value);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// The first `length` hex digits of a tag; at most 64.
pub(crate) fn hex(tag: &[u8; 32], length: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = tag.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.take(length).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_salt_is_refused_and_none_is_printed() {
        assert_eq!(Salt::new(&Secret::from("short")).unwrap_err(), SaltError { bytes: 5 });
        let salt = Salt::new(&Secret::from("correct horse battery staple")).unwrap();
        assert_eq!(format!("{salt:?}"), "Salt(..)");
    }

    #[test]
    fn kind_and_value_both_count() {
        let salt = Salt::new(&Secret::from("correct horse battery staple")).unwrap();
        assert_eq!(salt.tag("email", b"a"), salt.tag("email", b"a"));
        assert_ne!(salt.tag("email", b"a"), salt.tag("hash", b"a"));
        assert_ne!(salt.tag("a", b"ba"), salt.tag("ab", b"a"));
        assert_eq!(hex(&salt.tag("email", b"a"), 20).len(), 20);
    }

    #[test]
    fn hex_is_lower_case_and_bounded() {
        let mut tag = [0; 32];
        tag[0] = 0xaf;
        assert_eq!(hex(&tag, 4), "af00");
        assert_eq!(hex(&tag, 1000).len(), 64);
    }
}
