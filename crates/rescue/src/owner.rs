//! Who uses a repository. A Havre that was brought back on another server says so in the repository, by a snapshot with a tag of its own. The
//! old one may still be alive: once it sees that, it removes nothing there any more. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use havre_core::time::Timestamp;

/// What tags of claims begin with.
const PREFIX: &str = "owner/";
/// Digits of a name.
const DIGITS: usize = 32;

/// Name of a Havre that was brought back: 32 hex digits of chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

/// Text that is no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no owner of a repository: {DIGITS} of the characters 0-9 and a-f")]
pub struct OwnerError;

impl Owner {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag of the snapshot by which it claims a repository.
    pub fn tag(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// The owner that a tag speaks of, if it speaks of one.
    pub fn of_tag(tag: &str) -> Option<Self> {
        tag.strip_prefix(PREFIX)?.parse().ok()
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_name = text.len() == DIGITS && text.bytes().all(is_hex);
        if is_name { Ok(Self(text.to_owned())) } else { Err(OwnerError) }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody has said that the repository is his.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub owner: Owner,
    /// When.
    pub at: Timestamp,
}

/// Whose a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ours.
    Ours,
    /// Ours, and that is to be said.
    ToClaim,
    /// A Havre that was brought back later has it since then.
    Theirs {
        /// Since when.
        since: Timestamp,
    },
}

/// Judges. `ours` is the name of this Havre and when it was brought back; nothing for one that never was.
pub fn judge(claims: &[Claim], ours: Option<&Claim>) -> Verdict {
    let newest = claims.iter().max_by_key(|claim| claim.at);
    match (newest, ours) {
        (None, None) => Verdict::Ours,
        (None, Some(_)) => Verdict::ToClaim,
        (Some(newest), Some(ours)) if newest.owner == ours.owner => Verdict::Ours,
        // Of two that were brought back, the one has it that came back later.
        (Some(newest), Some(ours)) if newest.at < ours.at => Verdict::ToClaim,
        (Some(newest), Some(_) | None) => Verdict::Theirs { since: newest.at },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(digit: char, seconds: i64) -> Claim {
        let owner = digit.to_string().repeat(DIGITS).parse().expect("is a name");
        Claim { owner, at: Timestamp::from_millis(seconds * 1000) }
    }

    #[test]
    fn a_name_and_its_tag() {
        let owner = claim('a', 0).owner;
        assert_eq!(Owner::of_tag(&owner.tag()), Some(owner));
        for wrong in ["owner/", "owner/x", "run/u1", "platform", "owner/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(Owner::of_tag(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_one_that_was_brought_back_has_it() {
        let (first, second) = (claim('a', 10), claim('b', 20));
        let both = [first.clone(), second.clone()];
        assert_eq!(judge(&[], None), Verdict::Ours);
        assert_eq!(judge(&[], Some(&first)), Verdict::ToClaim);
        assert_eq!(judge(std::slice::from_ref(&first), None), Verdict::Theirs { since: first.at });
        assert_eq!(judge(std::slice::from_ref(&first), Some(&first)), Verdict::Ours);
        assert_eq!(judge(std::slice::from_ref(&first), Some(&second)), Verdict::ToClaim);
        assert_eq!(judge(&both, Some(&second)), Verdict::Ours);
        assert_eq!(judge(&both, Some(&first)), Verdict::Theirs { since: second.at });
    }

    #[test]
    fn a_claim_of_ours_is_found_whatever_the_clock_says() {
        // It is said a moment after its Havre came back.
        let ours = claim('a', 10);
        let said = Claim { at: Timestamp::from_millis(9000), ..ours.clone() };
        assert_eq!(judge(&[said], Some(&ours)), Verdict::Ours);
    }
}
