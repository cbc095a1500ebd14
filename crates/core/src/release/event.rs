//! What happened to a release. Recording it is told by the deployment that is asked for with it. Tests: those of `store`.

use serde::{Deserialize, Serialize};

use crate::id::ReleaseId;
use crate::release::promotion::PromotedFrom;
use crate::release::size::{about, grown_percent, is_notable};

/// A past-tense fact about one release; the subject of the event is its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// It was made of what another environment runs.
    Promoted {
        /// The new release.
        release: ReleaseId,
        /// Where its artifact was before.
        from: PromotedFrom,
    },
    /// The room its artifact takes became known.
    Measured {
        /// The release.
        release: ReleaseId,
        /// Bytes it takes.
        bytes: u64,
        /// The release of the service before it, where its size is known.
        before: Option<Measure>,
    },
}

/// The size of one release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The release.
    pub release: ReleaseId,
    /// Bytes its artifact takes.
    pub bytes: u64,
}

impl Event {
    /// People should hear of it although they did not ask.
    pub fn is_notable(&self) -> bool {
        match self {
            Self::Promoted { .. } => false,
            Self::Measured { bytes, before, .. } => {
                before.is_some_and(|before| is_notable(before.bytes, *bytes))
            }
        }
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Promoted { release, from } => write!(f, "{release} made of {from}"),
            Self::Measured { release, bytes, before } => {
                write!(f, "{release} takes {}", about(*bytes))?;
                match before {
                    Some(Measure { release, bytes: before }) if is_notable(*before, *bytes) => {
                        let percent = grown_percent(*before, *bytes);
                        write!(f, ", {percent} % more than {release} ({})", about(*before))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}
