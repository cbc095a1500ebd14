//! Files of a repository that are damaged: a run that meets one fails, and would go on failing, since what it relies on counts as stored. They are
//! set aside, so that the next run stores anew what they held; backups that stay incomplete are good no longer. Tests: `tests/it/backup.rs`.

use havre_backup::Repository;
use havre_core::backup::SnapshotId;
use havre_core::backup::run::{RunFilter, RunState};
use havre_core::name::TargetName;
use havre_reconcile::deployment::chain;

use super::run::gone;
use crate::world::World;

/// Most good runs that are compared: more are kept of nothing.
const COMPARED: u32 = 10_000;

/// Looks for damaged files after a run that may have met one, and sets them aside. Reads the whole repository.
pub(super) async fn heal(world: &World, target: &TargetName, repository: &dyn Repository) {
    if !world.backups.is_healing_due(target, world.now()) {
        return;
    }
    match repository.repair().await {
        Ok(aside) if aside.is_empty() => {
            tracing::warn!(backup_target = %target, "a backup could not be read back, and no file of its repository is damaged; its index was made anew");
        }
        Ok(aside) => {
            let files = aside.join(", ");
            tracing::error!(backup_target = %target, %files, "a backup repository is damaged: these files were set aside, and what they held is stored again by the next run; look at its disk");
        }
        Err(error) => {
            tracing::error!(backup_target = %target, error = %chain(&error), "a backup repository may be damaged, and could not be repaired; tried again in six hours");
        }
    }
}

/// After a good run: backups that need what is not there any more are good no longer. Once for each start, and after damage was found. What went
/// wrong, in words.
pub(super) async fn compare(
    world: &World,
    target: &TargetName,
    repository: &dyn Repository,
) -> Result<(), String> {
    if !world.backups.ended_well(target) {
        return Ok(());
    }
    let incomplete = repository.incomplete().await.map_err(|error| chain(&error))?;
    if !incomplete.is_empty() {
        let filter = RunFilter { what: None, target: Some(target.clone()), state: Some(RunState::Good) };
        let read = world.store.read(move |view| view.list_backup_runs(&filter, COMPARED)).await;
        for run in read.map_err(|error| chain(&error))? {
            let is_of = |id: &SnapshotId| run.snapshot.as_ref() == Some(id);
            if run.forgotten_at.is_none() && incomplete.iter().any(is_of) {
                tracing::error!(run = %run.id, what = %run.what, backup_target = %target, "a backup is not whole any more");
                gone(world, &run).await.map_err(|error| chain(&error))?;
            }
        }
    }
    world.backups.has_compared(target);
    Ok(())
}
