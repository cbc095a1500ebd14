//! Counts and hashes bytes where they are produced: the first of the three sides that must agree. Tests at the end of the file.

use havre_core::backup::Content;
use sha2::{Digest as _, Sha256};

/// Bytes so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    hasher: Sha256,
    bytes: u64,
}

impl Tally {
    /// Adds the next ones.
    pub fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many there were.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of them, reduced to what can be compared.
    pub fn content(self) -> Content {
        let sha256 = format!("{:x}", self.hasher.finalize());
        Content { bytes: self.bytes, sha256: sha256.parse().expect("64 hex digits are a digest") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_count_as_one() {
        let mut tally = Tally::default();
        tally.add(b"a");
        tally.add(b"bc");
        assert_eq!(tally.bytes(), 3);
        assert_eq!(tally.content().to_string(), "3 bytes with the SHA-256 ba7816bf8f01");
    }
}
