//! Names with a closed grammar that end up in a repository: of the file in a snapshot, and of its tags. What does not parse reaches
//! no path and no line that people type. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

/// Text outside of the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the {kind}: {rule}")]
pub struct NameError {
    text: String,
    kind: &'static str,
    rule: &'static str,
}

fn refused(text: &str, kind: &'static str, rule: &'static str) -> NameError {
    NameError { text: text.chars().take(48).flat_map(char::escape_default).collect(), kind, rule }
}

const ENTRY_RULE: &str = "1 to 100 of the characters a-z, 0-9, ., _ and -, starting with a letter or a digit";

/// Name of the one file in a snapshot, such as `shop-production-db.dump`: what a restore with restic leaves in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName(String);

impl EntryName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(text: &str, also: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=100).contains(&bytes.len())
        && is_first(&bytes[0])
        && bytes.iter().all(|byte| is_first(byte) || also.contains(byte))
}

impl FromStr for EntryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_plain(text, b"._-") {
            return Ok(Self(text.to_owned()));
        }
        Err(refused(text, "name of a file in a snapshot", ENTRY_RULE))
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const TAG_RULE: &str =
    "1 to 100 of the characters a-z, 0-9, ., _, - and /, starting with a letter or a digit";

/// A tag of a snapshot, such as `shop/production/db`. It has no `:`, which the tags of our own have, and no `,`, at which restic cuts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_plain(text, b"._-/") {
            return Ok(Self(text.to_owned()));
        }
        Err(refused(text, "tag of a snapshot", TAG_RULE))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars_are_closed() {
        for right in ["db.dump", "shop-production-db.dump", "0"] {
            assert!(right.parse::<EntryName>().is_ok(), "{right:?} must parse");
            assert!(right.parse::<Tag>().is_ok(), "{right:?} must parse");
        }
        let long = "a".repeat(101);
        for wrong in ["", "..", ".hidden", "-v", "a b", "A", "a,b", "havre:pending", "a\n", "é", &long] {
            assert!(wrong.parse::<EntryName>().is_err(), "{wrong:?} must not parse");
            assert!(wrong.parse::<Tag>().is_err(), "{wrong:?} must not parse");
        }
        assert!("shop/production/db".parse::<Tag>().is_ok());
        assert!("shop/db".parse::<EntryName>().is_err());
    }
}
