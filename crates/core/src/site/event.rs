//! What happened to published sites.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::id::ReleaseId;

/// A past-tense fact about the files of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// Files nobody needs any more were removed; these releases cannot be gone back to.
    FilesRemoved {
        /// Which folder.
        digest: Digest,
        /// Releases it belonged to.
        releases: Vec<ReleaseId>,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::FilesRemoved { digest, releases } = self;
        let releases: Vec<String> = releases.iter().map(ToString::to_string).collect();
        write!(f, "files of {} removed (site {})", releases.join(", "), digest.short())
    }
}
