//! A preview: an environment of its own for a pull request (GitLab: merge request), made when it is opened or pushed to and taken down when
//! it is closed, when nothing was pushed for long, or when others need its place. What to do is decided in `decide`, hosts are made in `host`.
//! Policy is never read from the pull request itself. Tests at the ends of the files.

pub mod event;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::Actor;
use crate::name::{EnvironmentName, ProjectName};
use crate::quantity::Span;
use crate::source::{BranchName, CommitId, HeadAt, Pull};
use crate::time::Timestamp;

/// Previews of a project at once, where nothing is said.
pub const MAX: u32 = 5;
/// Most of these: each is a whole copy of the project on this machine.
pub const MAX_MOST: u32 = 50;
/// Time without a push after which a preview goes, where nothing is said.
pub const TTL: Span = Span::seconds(7 * 86_400);
/// Shortest such time.
pub const TTL_MIN: Span = Span::seconds(3600);
/// Longest such time.
pub const TTL_MAX: Span = Span::seconds(90 * 86_400);

/// Number of a pull request at its forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PullNumber(u32);

/// Not the number of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the number of a pull request: a whole number from 1 to 4294967295")]
pub struct PullNumberError {
    text: String,
}

impl TryFrom<u64> for PullNumber {
    type Error = PullNumberError;

    fn try_from(number: u64) -> Result<Self, PullNumberError> {
        match u32::try_from(number) {
            Ok(found) if found > 0 => Ok(Self(found)),
            _ => Err(PullNumberError { text: number.to_string() }),
        }
    }
}

impl From<PullNumber> for u64 {
    fn from(number: PullNumber) -> Self {
        Self::from(number.0)
    }
}

impl FromStr for PullNumber {
    type Err = PullNumberError;

    fn from_str(text: &str) -> Result<Self, PullNumberError> {
        let error =
            || PullNumberError { text: text.chars().take(32).flat_map(char::escape_default).collect() };
        // No sign, no leading zero: one number has one text, and so one environment.
        let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = text.parse().map_err(|_| error())?;
        if is_plain && number > 0 { Ok(Self(number)) } else { Err(error()) }
    }
}

impl fmt::Display for PullNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The project.
    pub project: ProjectName,
    /// The pull request.
    pub number: PullNumber,
    /// The commit it was last made of.
    pub commit: CommitId,
    /// The branch with the changes; of a fork it is one over there.
    pub branch: BranchName,
    /// The branch they are meant for.
    pub base: BranchName,
    /// The commit of that branch whose `[previews]` counts.
    pub base_commit: CommitId,
    /// Strangers may have written what is in it.
    pub is_fork: bool,
    /// Where it stands.
    pub state: State,
    /// When it was last pushed to.
    pub pushed_at: Timestamp,
    /// How long it stays without a push.
    pub ttl: Span,
}

impl Preview {
    /// Its environment.
    pub fn environment(&self) -> EnvironmentName {
        EnvironmentName::preview(self.number)
    }

    /// Whether it is there for its users.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether its builds and tasks may get secrets and values that are sealed: never for a fork.
    pub const fn has_secrets(&self) -> bool {
        !self.is_fork
    }

    /// When it goes, unless somebody pushes.
    pub fn expires_at(&self) -> Timestamp {
        self.pushed_at.after(self.ttl.duration())
    }
}

/// Where a preview stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// It is there.
    Open {
        /// Since when.
        since: Timestamp,
    },
    /// It is being taken down.
    Closing {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: CloseReason,
    },
    /// Nothing of it is left.
    Closed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: CloseReason,
    },
}

impl State {
    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Closing { .. } => "closing",
            Self::Closed { .. } => "closed",
        }
    }

    /// Why it goes or has gone.
    pub const fn reason(&self) -> Option<&CloseReason> {
        match self {
            Self::Open { .. } => None,
            Self::Closing { reason, .. } | Self::Closed { reason, .. } => Some(reason),
        }
    }
}

/// Why a preview goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CloseReason {
    /// The pull request was merged or declined.
    Ended,
    /// Nothing was pushed for so long.
    Expired {
        /// How long.
        ttl: Span,
    },
    /// Another one needed its place.
    MadeRoom {
        /// Which.
        number: PullNumber,
    },
    /// Somebody asked for it.
    Asked {
        /// Who.
        by: Actor,
    },
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the pull request was closed"),
            Self::Expired { ttl } => write!(f, "nothing was pushed for {ttl}"),
            Self::MadeRoom { number } => write!(f, "pull request {number} needed its place"),
            Self::Asked { by } => write!(f, "{by} asked for it"),
        }
    }
}

/// What the base branch allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Pull requests from other repositories get a preview too, without secrets.
    pub forks: bool,
    /// Most previews of the project at once; at least one.
    pub max: u32,
    /// How long one stays without a push.
    pub ttl: Span,
}

/// What was announced: this pull request should have a preview of its newest commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The project.
    pub project: ProjectName,
    /// The pull request.
    pub number: PullNumber,
    /// Its newest commit; `None` when nobody has said it.
    pub head: Option<CommitId>,
    /// The branch with the changes.
    pub branch: BranchName,
    /// The branch they are meant for.
    pub base: BranchName,
    /// Where the commit lies at the forge.
    pub at: HeadAt,
    /// It comes from another repository.
    pub is_fork: bool,
}

impl Wish {
    /// What is to be fetched.
    pub fn pull(&self) -> Pull {
        Pull { number: self.number, at: self.at.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_text() {
        for right in ["1", "7", "4294967295"] {
            let number: PullNumber = right.parse().expect("is a number");
            assert_eq!(number.to_string(), right);
            assert_eq!(serde_json::to_string(&number).expect("is JSON"), right);
        }
        for wrong in ["", "0", "07", "-1", "+1", "1.0", "x", "4294967296", " 7"] {
            assert!(wrong.parse::<PullNumber>().is_err(), "{wrong:?} must not parse");
        }
        assert!(PullNumber::try_from(0).is_err() && PullNumber::try_from(u64::MAX).is_err());
        assert!(serde_json::from_str::<PullNumber>("0").is_err());
    }

    #[test]
    fn reasons_are_sentences() {
        let number = "9".parse().expect("a number");
        let reasons = [
            CloseReason::Ended,
            CloseReason::Expired { ttl: TTL },
            CloseReason::MadeRoom { number },
            CloseReason::Asked { by: Actor::Local },
        ];
        let texts: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "the pull request was closed",
                "nothing was pushed for 7d",
                "pull request 9 needed its place",
                "local asked for it"
            ]
        );
        let state = State::Closing { since: Timestamp::default(), reason: CloseReason::MadeRoom { number } };
        let text = serde_json::to_string(&state).expect("is JSON");
        assert_eq!(serde_json::from_str::<State>(&text).expect("is read again"), state);
    }
}
