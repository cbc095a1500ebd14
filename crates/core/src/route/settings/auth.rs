//! Name and password for a route. Only hashes travel and rest; what they were made from is nowhere.
//! Tests at the end of the file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{Realm, UserName};

/// Most memory one check may use, in KiB: a hash comes from a file, and the edge must be able to bear it.
pub const HASH_MEMORY_MAX: u32 = 64 * 1024;

/// Most passes of one check.
pub const HASH_PASSES_MAX: u32 = 10;

/// Who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// What a browser shows.
    pub realm: Realm,
    /// Names and hashes of their passwords.
    pub users: BTreeMap<UserName, PasswordHash>,
}

/// A password's Argon2id hash in its usual text form. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// SHA-256 of a secret with enough randomness of its own. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDigest([u8; 32]);

/// Text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hex digits in lower case")]
pub struct SecretDigestError;

impl SecretDigest {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(hidden)")
    }
}

impl FromStr for SecretDigest {
    type Err = SecretDigestError;

    fn from_str(text: &str) -> Result<Self, SecretDigestError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 64 || !text.bytes().all(is_digit) {
            return Err(SecretDigestError);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| SecretDigestError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| SecretDigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for SecretDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SecretDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that is no hash the edge would check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no Argon2id hash of at most 64 MB and 10 passes; make one with `havre password hash` \
     (a password itself never stands in havre.toml)"
)]
pub struct PasswordHashError;

impl PasswordHash {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        let parts: Vec<&str> = text.split('$').collect();
        let ["", "argon2id", "v=19", costs, salt, hash] = parts.as_slice() else {
            return Err(PasswordHashError);
        };
        let mut costs = costs.split(',');
        let mut cost = |name: &str, most: u32| {
            let value = costs.next()?.strip_prefix(name)?.parse::<u32>().ok()?;
            (1..=most).contains(&value).then_some(value)
        };
        let memory = cost("m=", HASH_MEMORY_MAX).ok_or(PasswordHashError)?;
        cost("t=", HASH_PASSES_MAX).ok_or(PasswordHashError)?;
        let lanes = cost("p=", 4).ok_or(PasswordHashError)?;
        let is_base64 = |text: &str, least: usize| {
            (least..=86).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        };
        if costs.next().is_some() || memory < 8 * lanes || !is_base64(salt, 11) || !is_base64(hash, 22) {
            return Err(PasswordHashError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for PasswordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bounded_argon2id_hashes_and_never_a_password() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhh";
        let hash: PasswordHash = good.parse().unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(hidden)");
        for bad in [
            "secret",
            "",
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=19456,t=99,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=19456,t=2,p=1,x=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=19456,t=2,p=1$c2$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo",
        ] {
            assert_eq!(bad.parse::<PasswordHash>(), Err(PasswordHashError), "{bad}");
        }
    }
}
