//! The bytes of snapshots, handed over by the daemon, so that `web` sees no repository. Plain bytes only.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use havre_core::backup::SnapshotId;
use havre_core::name::TargetName;

use crate::error::{Code, Refusal};

/// Bytes of a snapshot, in order. They are all of it only where the stream ends without an error.
pub type SnapshotStream = BoxStream<'static, Result<Bytes, SnapshotError>>;

/// Gives snapshots out.
#[async_trait]
pub trait SnapshotStreams: Send + Sync + 'static {
    /// The content of a snapshot. Dropping the stream ends it.
    async fn open(&self, target: TargetName, snapshot: SnapshotId) -> Result<SnapshotStream, SnapshotError>;
}

/// Why a snapshot cannot be given out, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotError(pub String);

impl From<SnapshotError> for Refusal {
    fn from(error: SnapshotError) -> Self {
        Self::new(Code::Unavailable, format!("the snapshot cannot be read: {error}"))
            .hint("`havre backup target list` shows what its target waits for")
    }
}
