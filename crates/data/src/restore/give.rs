//! Snapshots for whoever asks for their bytes: no loop, and nothing is recorded but whether the target can be used.

use havre_backup::Dump;
use havre_core::backup::SnapshotId;
use havre_core::name::TargetName;
use havre_reconcile::deployment::chain;
use tokio_util::sync::CancellationToken;

use crate::backup::repositories;
use crate::world::World;

/// Opens a snapshot. It is read until `cancel` is cancelled.
///
/// # Errors
/// Why it cannot be read, in words.
pub async fn open_snapshot(
    world: &World,
    target: &TargetName,
    snapshot: &SnapshotId,
    cancel: &CancellationToken,
) -> Result<Dump, String> {
    let opened = repositories::open(world, target).await?;
    opened.repository.dump(snapshot, cancel).await.map_err(|error| chain(&error))
}
