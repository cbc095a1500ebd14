//! What happened to images this installation has built. Tests: those of `store` and `reconcile`.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::id::ReleaseId;

/// A past-tense fact about images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// An image nobody needs any more was given up; these releases cannot be gone back to. Docker may keep it for a while, if
    /// something still uses it.
    Removed {
        /// The engine's id of it.
        image: Digest,
        /// Releases it belonged to.
        releases: Vec<ReleaseId>,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Removed { image, releases } = self;
        let releases: Vec<String> = releases.iter().map(ToString::to_string).collect();
        write!(f, "image of {} removed ({})", releases.join(", "), image.short())
    }
}
