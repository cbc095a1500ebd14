//! What happened to published sites. Tests: `tests/it/site_purge.rs`, and those of `store` and `reconcile`.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::id::ReleaseId;
use crate::time::Timestamp;

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
    /// The CDN was told to forget pages.
    Purged {
        /// The release whose switch it was told of.
        release: ReleaseId,
        /// HTTP status of its answer, one of success.
        status: u16,
    },
    /// The CDN could not be told.
    PurgeFailed {
        /// The release whose switch it was to be told of.
        release: ReleaseId,
        /// How often it was tried, this time included.
        tries: u32,
        /// Why not, for people; holds no secret.
        reason: String,
        /// When it is tried again; absent when it was given up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_at: Option<Timestamp>,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FilesRemoved { digest, releases } => {
                let releases: Vec<String> = releases.iter().map(ToString::to_string).collect();
                write!(f, "files of {} removed (site {})", releases.join(", "), digest.short())
            }
            Self::Purged { release, status } => {
                write!(f, "CDN told of {release}: it forgets the pages from before (answered {status})")
            }
            Self::PurgeFailed { release, tries, reason, next_at: Some(_) } => {
                write!(f, "CDN not told of {release} (try {tries}, another follows): {reason}")
            }
            Self::PurgeFailed { release, tries, reason, next_at: None } => {
                write!(f, "CDN not told of {release} after {tries} tries: {reason}; purge it by hand")
            }
        }
    }
}
