//! Snapshots, from their repository to the API, as plain bytes. Wiring only.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use havre_core::backup::SnapshotId;
use havre_core::name::TargetName;
use havre_data::restore::give::open_snapshot;
use havre_data::world::World;
use havre_web::restore::streams::{SnapshotError, SnapshotStream, SnapshotStreams};
use tokio_util::sync::CancellationToken;

/// The repositories behind the API's streams.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    world: World,
}

impl Snapshots {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl SnapshotStreams for Snapshots {
    async fn open(&self, target: TargetName, snapshot: SnapshotId) -> Result<SnapshotStream, SnapshotError> {
        let cancel = CancellationToken::new();
        let dump = open_snapshot(&self.world, &target, &snapshot, &cancel).await.map_err(SnapshotError)?;
        // Whoever drops the stream reads no further.
        let state = Some((dump, cancel.drop_guard()));
        let parts = stream::unfold(state, |state| async move {
            let (mut dump, guard) = state?;
            match dump.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some((dump, guard)))),
                Ok(None) => None,
                Err(error) => Some((Err(SnapshotError(error.to_string())), None)),
            }
        });
        Ok(parts.boxed())
    }
}
