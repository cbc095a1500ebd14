//! The seam: what Havre asks of a place where backups lie. Plain data and byte streams only, so that the work can move into a process
//! of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::backup::{Content, RepositoryId, SnapshotId};
use havre_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::dump::Dump;
use crate::error::RepositoryError;
use crate::name::{EntryName, Tag};
use crate::source::Source;

/// What a stream is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the one file.
    pub name: EntryName,
    /// What it is of.
    pub tags: BTreeSet<Tag>,
    /// When the run began.
    pub at: Timestamp,
}

/// A snapshot that was read back when it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which.
    pub id: SnapshotId,
    /// Name of its file.
    pub name: EntryName,
    /// What it is of.
    pub tags: BTreeSet<Tag>,
    /// When its run began, to the millisecond.
    pub at: Timestamp,
    /// What its producer wrote, and what came back.
    pub content: Content,
}

/// A new snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Bytes it has added to the repository, compressed; what was there already is not stored twice.
    pub added_bytes: u64,
}

/// What a prune did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Bytes nobody needs that are marked now; a later prune removes them.
    pub marked_bytes: u64,
    /// Bytes that had been marked for long enough and are gone.
    pub removed_bytes: u64,
}

/// A place where backups lie. Streams may be stored beside each other; what rearranges a repository lets its other calls wait. That no second
/// Havre writes is for its caller to see to.
///
/// Every method may answer [`RepositoryError::Missing`], [`RepositoryError::WrongPassword`] and [`RepositoryError::Failed`]. None makes a
/// repository where there is none, but for [`Repository::init`].
#[async_trait]
pub trait Repository: std::fmt::Debug + Send + Sync + 'static {
    /// Makes the repository.
    ///
    /// # Errors
    /// [`RepositoryError::Occupied`] when there is one, or the rest of one.
    async fn init(&self) -> Result<RepositoryId, RepositoryError>;

    /// Whether it is there, and the password is its password.
    ///
    /// # Errors
    /// Only those every method has.
    async fn open(&self) -> Result<RepositoryId, RepositoryError>;

    /// Stores a stream and reads all of it back. There is a snapshot only when the source ended well, wrote at least a byte, and exactly
    /// that came back. Dropping the future cancels.
    ///
    /// # Errors
    /// [`RepositoryError::Source`], [`RepositoryError::Empty`], [`RepositoryError::Differs`], [`RepositoryError::Cancelled`]. Nothing
    /// that [`Repository::list`] shows is left of it.
    async fn store(
        &self,
        entry: &Entry,
        source: Source,
        cancel: &CancellationToken,
    ) -> Result<Stored, RepositoryError>;

    /// All snapshots, newest first.
    ///
    /// # Errors
    /// Only those every method has. A list is whole or it is an error.
    async fn list(&self) -> Result<Vec<Snapshot>, RepositoryError>;

    /// Gives a snapshot out.
    ///
    /// # Errors
    /// [`RepositoryError::SnapshotMissing`]; later ones come from the stream.
    async fn dump(&self, id: &SnapshotId, cancel: &CancellationToken) -> Result<Dump, RepositoryError>;

    /// Reads all of a snapshot again, and every file of the repository it needs.
    ///
    /// # Errors
    /// [`RepositoryError::SnapshotMissing`], [`RepositoryError::Differs`], [`RepositoryError::Cancelled`].
    async fn verify(&self, id: &SnapshotId, cancel: &CancellationToken) -> Result<Content, RepositoryError>;

    /// Removes snapshots; those that are not there are fine. Their bytes stay until they are pruned.
    ///
    /// # Errors
    /// Only those every method has.
    async fn forget(&self, ids: &[SnapshotId]) -> Result<(), RepositoryError>;

    /// Marks what no snapshot needs, and removes what has been marked for longer than `grace`. A day is usual: whoever reads at this
    /// moment keeps what he needs.
    ///
    /// # Errors
    /// Only those every method has. Where anything cannot be listed or read, nothing is removed.
    async fn prune(&self, grace: Duration) -> Result<Pruned, RepositoryError>;

    /// Reads the whole repository and lists what is wrong with it, in the words of the format. Empty when nothing is. Nobody writes
    /// meanwhile.
    ///
    /// # Errors
    /// Only those every method has.
    async fn check(&self) -> Result<Vec<String>, RepositoryError>;

    /// Snapshots that need what is not there any more, as far as the repository knows what it has: nothing is read for it but what
    /// describes them. A damaged file counts as there until [`Repository::repair`] has found it.
    ///
    /// # Errors
    /// Only those every method has.
    async fn incomplete(&self) -> Result<Vec<SnapshotId>, RepositoryError>;

    /// Sets damaged files aside, so that what they held is stored again by the next run, and says which. Nothing is deleted. Snapshots
    /// that needed them do not verify any more, unless a later run brings the same bytes.
    ///
    /// # Errors
    /// Only those every method has.
    async fn repair(&self) -> Result<Vec<String>, RepositoryError>;
}
