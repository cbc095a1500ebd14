//! What can go wrong with a repository, in words for whoever waits for the backup.

use havre_core::backup::{Content, SnapshotId};

/// Why something was not done. After any of these there is no new snapshot that could be taken for a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// Nothing is there. A disk that is not mounted looks like this, so nobody makes a repository because of it.
    #[error("there is no repository at {place}; is this the right place, and its disk mounted?")]
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
    /// The storage does not take the credentials, or they may not do this. A person has to change something.
    #[error("the storage of {place} refuses the credentials: {reason}")]
    CredentialsRefused {
        /// The repository.
        place: String,
        /// What it said, without any secret.
        reason: String,
    },
    /// There is no bucket of that name. Nobody makes one because of it.
    #[error("there is no bucket for {place}")]
    BucketMissing {
        /// The repository.
        place: String,
    },
    /// The storage refuses requests because of the time in them.
    #[error(
        "{place} refuses requests because the clock of this machine is wrong: {}",
        off(.ahead_seconds)
    )]
    ClockOff {
        /// The repository.
        place: String,
        /// Seconds by which this machine is ahead of the storage, negative when it is behind; nothing where it did not say its time.
        ahead_seconds: Option<i64>,
    },
    /// The machine shows another key than the one that was set: it was installed anew, or it is somebody else's. Nothing was sent to it.
    #[error("what answers at {place} is another machine than the one that was set: {reason}")]
    AnotherMachine {
        /// The repository.
        place: String,
        /// Both keys, and how to compare them.
        reason: String,
    },
    /// The storage does not answer, or asks for patience, after every try. Later it may do it.
    #[error("{place} cannot be reached: {reason}")]
    Away {
        /// The repository.
        place: String,
        /// The last thing that was seen.
        reason: String,
    },
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

/// What is done when a stream that was stored is read again.
pub(crate) const READ_BACK: &str = "read a snapshot back";
/// What is done when a repository is opened to be used.
pub(crate) const READ_INDEX: &str = "read the index";

impl RepositoryError {
    /// Whether what lies there may be damaged, so that [`Repository::repair`](crate::Repository::repair) may help.
    pub fn may_be_damage(&self) -> bool {
        match self {
            Self::Differs { .. } => true,
            Self::Failed { doing, .. } => matches!(*doing, READ_BACK | READ_INDEX),
            Self::Missing { .. }
            | Self::Occupied { .. }
            | Self::WrongPassword { .. }
            | Self::SnapshotMissing { .. }
            | Self::Source { .. }
            | Self::Empty
            | Self::Cancelled
            | Self::CredentialsRefused { .. }
            | Self::BucketMissing { .. }
            | Self::ClockOff { .. }
            | Self::AnotherMachine { .. }
            | Self::Away { .. } => false,
        }
    }
}

fn off(ahead_seconds: &Option<i64>) -> String {
    match *ahead_seconds {
        Some(seconds @ 0..) => format!("it is {seconds} s ahead"),
        Some(seconds) => format!("it is {} s behind", seconds.unsigned_abs()),
        None => "nobody knows by how much".to_owned(),
    }
}
