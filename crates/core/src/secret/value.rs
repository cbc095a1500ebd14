//! What the value of a secret of a service may be, and how its versions are counted. Tests at the end of the file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::EnvironmentName;
use crate::secret::Secret;

/// Longest value in bytes; Linux passes at most 128 KiB in one variable.
pub const VALUE_MAX: usize = 64 * 1024;

/// Most secrets that are set by one request.
pub const SET_MAX: usize = 256;

/// Versions of a value that are kept beside those that releases name.
pub const VERSIONS_KEPT: u32 = 10;

/// Which value of a secret: counted by project and name from 1, for the project's and the environments' values together, so that
/// a name and a version mean one value for ever. A version is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretVersion(u64);

impl SecretVersion {
    /// With this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// Text that cannot be the value of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value of a secret is text of 1 to 65536 bytes without NUL; an empty one is never a usable one")]
pub struct ValueError;

/// Checks what somebody gave as the value of a secret.
///
/// # Errors
/// When it is empty, too long, or holds a NUL byte, which no variable can.
pub fn parse_value(text: String) -> Result<Secret, ValueError> {
    let secret = Secret::from(text);
    let bytes = secret.expose();
    let is_sound = (1..=VALUE_MAX).contains(&bytes.len()) && !bytes.contains(&0);
    if is_sound { Ok(secret) } else { Err(ValueError) }
}

/// For whom a value is, in words.
pub fn scope_text(environment: Option<&EnvironmentName>) -> String {
    match environment {
        Some(environment) => format!("in {environment}"),
        None => "for every environment".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_is() {
        for right in ["x", " ", "two\nlines\n", "ünïcode"] {
            assert!(parse_value(right.to_owned()).is_ok(), "{right:?}");
        }
        for wrong in ["", "a\0b", "x".repeat(VALUE_MAX + 1).as_str()] {
            assert!(parse_value(wrong.to_owned()).is_err());
        }
    }
}
