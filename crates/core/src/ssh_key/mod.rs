//! Keys by which people push over SSH: which keys there may be, what the server's sshd is told of one, and what a client may ask for.
//! The server's own sshd carries the bytes and has the key proved; where a key may push to is asked at control. Opens no file and no
//! connection. Tests at the end of each file.

pub mod public;

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, names};

pub use public::{Algorithm, PublicKey, PublicKeyError};

const FINGERPRINT_RULE: &str =
    "SHA256: and 43 of the characters A-Z, a-z, 0-9, + and /, as `ssh-keygen -l` shows it";

fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix("SHA256:").is_some_and(|digest| {
        digest.len() == 43 && digest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
    })
}

const PROGRAM_RULE: &str =
    "an absolute path of at most 512 of the characters A-Z, a-z, 0-9, . _ - + and /, without ..";

fn is_program(text: &str) -> bool {
    text.len() <= 512
        && text.starts_with('/')
        && !text.split('/').any(|part| part == "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+/".contains(&b))
}

names! {
    /// The SHA-256 of a public key, as people compare keys by it.
    Fingerprint "fingerprint" is_fingerprint FINGERPRINT_RULE;
    /// Where a program or its configuration lies, with nothing in it that the shell sshd starts would read as its own.
    ProgramPath "path of a program" is_program PROGRAM_RULE;
}

impl Fingerprint {
    /// Several on one line.
    pub fn list(all: &[Self]) -> String {
        all.iter().map(Self::as_str).collect::<Vec<_>>().join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        let right = "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4";
        assert_eq!(right.parse::<Fingerprint>().expect("is one").as_str(), right);
        let padded = format!("{right}=");
        for wrong in ["", "SHA256:", &right[7..], &right[..49], &padded, "MD5:aa:bb", "SHA256:%f"] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn programs_hold_nothing_a_shell_reads() {
        for right in ["/usr/bin/havred", "/tmp/havre-e2e-x1/havred.toml"] {
            assert!(right.parse::<ProgramPath>().is_ok(), "{right:?} must parse");
        }
        // What the kernel shows of a program that was replaced meanwhile is none either.
        for wrong in
            ["", "havred", "/a/../b", "/a b", "/a\"b", "/$(id)", "/a;b", "/usr/bin/havred (deleted)", "/é"]
        {
            assert!(wrong.parse::<ProgramPath>().is_err(), "{wrong:?} must not parse");
        }
    }
}
