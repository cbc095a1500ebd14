//! What can go wrong with a repository, in words for whoever waits for the backup.

use havre_core::backup::{Content, SnapshotId};

/// Why something was not done. After any of these there is no new snapshot that could be taken for a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// Nothing is there. A disk that is not mounted looks like this, so nobody makes a repository because of it.
    #[error("there is no repository at {place}; is its disk mounted?")]
    Missing {
        /// Where it was looked for.
        place: String,
    },
    /// One is there already, or the rest of one.
    #[error("no repository can be made at {place}: {reason}")]
    Occupied {
        /// Where it should have been made.
        place: String,
        /// What is there.
        reason: String,
    },
    /// The password is that of another repository.
    #[error("the password does not open the repository at {place}")]
    WrongPassword {
        /// Where it is.
        place: String,
    },
    /// It was never there, or it was forgotten.
    #[error("the repository has no snapshot {id}")]
    SnapshotMissing {
        /// Which.
        id: SnapshotId,
    },
    /// What should be saved could not be read to its end, or its producer says that it was not all.
    #[error("what should be saved could not be read: {reason}")]
    Source {
        /// What was said.
        reason: String,
    },
    /// The source ended well without a single byte.
    #[error("there was nothing to save: the producer wrote no bytes")]
    Empty,
    /// What comes out is not what went in.
    #[error("{expected} went in, but {found} come out")]
    Differs {
        /// What went in.
        expected: Content,
        /// What came out.
        found: Content,
    },
    /// Somebody stopped it.
    #[error("it was cancelled")]
    Cancelled,
    /// The storage or the format failed.
    #[error("could not {doing} at {place}: {reason}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// The repository.
        place: String,
        /// What was said.
        reason: String,
    },
}
