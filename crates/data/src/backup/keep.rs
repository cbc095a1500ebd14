//! After a good run: which snapshots of the same thing stay, as `havre_core::backup::retention` says, and once a day what no snapshot needs any
//! more. First it is asked what is there, since rows may promise what somebody has removed.

use havre_backup::{Repository, Snapshot};
use havre_core::backup::retention::{Candidate, plan_retention};
use havre_core::backup::run::{RunFilter, RunState};
use havre_core::backup::{SnapshotId, What};
use havre_core::event::Actor;
use havre_core::id::BackupRunId;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_reconcile::deployment::chain;
use havre_rescue::line::forget_bases;
use havre_rescue::plan::{PRUNE_EVERY, is_prune_due};

use super::owner;
use super::run::{gone, tag};
use crate::world::World;

/// Runs that are looked at for snapshots that should not be there.
const LOOKED_AT: u32 = 1000;

/// Keeps what is to be kept of one thing in one repository. What went wrong, in words; the next good run does it again.
pub(super) async fn tidy(
    world: &World,
    what: &What,
    target: &TargetName,
    repository: &dyn Repository,
) -> Result<(), String> {
    let listed = repository.list().await.map_err(|error| chain(&error))?;
    owner::check(world, repository, &listed).await?;
    remove_orphans(world, what, target, repository, &listed).await?;
    retain(world, what, target, repository, &listed).await?;
    prune(world, target, repository).await
}

/// Removes what rows say should not be there: snapshots of runs that failed, and of runs that the policy has let go; Havre may have been killed
/// before it could. Of a run that failed is only what has its id and its instant as well: where an older state of Havre was restored, ids
/// come again.
async fn remove_orphans(
    world: &World,
    what: &What,
    target: &TargetName,
    repository: &dyn Repository,
    listed: &[Snapshot],
) -> Result<(), String> {
    let filter = |what, state| RunFilter { what, target: Some(target.clone()), state: Some(state) };
    let (failed, good) = (filter(None, RunState::Failed), filter(Some(what.clone()), RunState::Good));
    let read = world.store.read(move |view| {
        let back = view.find_recovery()?.map(|claim| claim.at);
        Ok((view.list_backup_runs(&failed, LOOKED_AT)?, view.list_backup_runs(&good, LOOKED_AT)?, back))
    });
    let (failed, good, back) = read.await.map_err(|error| chain(&error))?;
    let has_failed = |snapshot: &Snapshot| {
        // One that was good once is not touched: part of it may still be of use.
        failed
            .iter()
            .filter(|run| run.manifest.is_none())
            // Of before Havre came back on another server it only knows how they had begun: they may have ended well.
            .filter(|run| back.is_none_or(|back| run.begun_at.is_some_and(|begun| begun > back)))
            .any(|run| run.begun_at == Some(snapshot.at) && snapshot.tags.contains(&tag(run.id)))
    };
    let was_let_go = |snapshot: &Snapshot| {
        let mut gone = good.iter().filter(|run| run.forgotten_at.is_some());
        gone.any(|run| run.snapshot.as_ref() == Some(&snapshot.id))
    };
    let orphans = listed.iter().filter(|snapshot| has_failed(snapshot) || was_let_go(snapshot));
    let orphans: Vec<SnapshotId> = orphans.map(|snapshot| snapshot.id.clone()).collect();
    if orphans.is_empty() {
        return Ok(());
    }
    repository.forget(&orphans).await.map_err(|error| chain(&error))
}

async fn retain(
    world: &World,
    what: &What,
    target: &TargetName,
    repository: &dyn Repository,
    listed: &[Snapshot],
) -> Result<(), String> {
    let (asked, there) = (what.clone(), target.clone());
    let read = world.store.read(move |view| {
        let keep = view.find_backup_keep(&asked)?;
        Ok((keep, view.find_base_window(&asked)?, view.list_good_backup_runs(&asked, &there)?))
    });
    let (keep, window, rows) = read.await.map_err(|error| chain(&error))?;
    let mut candidates = Vec::new();
    let mut whole: Vec<(SnapshotId, Timestamp)> = Vec::new();
    for row in &rows {
        let Some(manifest) = &row.manifest else { continue };
        match listed.iter().find(|snapshot| snapshot.id == manifest.snapshot) {
            None => gone(world, row).await.map_err(|error| chain(&error))?,
            Some(found) if found.content == manifest.content => {
                let id = manifest.snapshot.clone();
                whole.push((id.clone(), manifest.verified_at));
                candidates.push(Candidate { id, at: manifest.started_at, is_verified: true });
            }
            Some(_) => {
                tracing::error!(run = %row.id, "the repository says something else about a snapshot than its manifest");
            }
        }
    }
    // Without a policy everything stays.
    let Some(keep) = keep else { return Ok(()) };
    let forget = match window {
        Some(window) => forget_bases(window, &whole, world.now()),
        None => plan_retention(&keep, &candidates).forget,
    };
    let newest = candidates.iter().max_by_key(|one| one.at).map(|one| &one.id);
    if newest.is_some_and(|newest| forget.contains(newest)) {
        tracing::error!(%what, backup_target = %target, "refused to remove the newest backup that restores");
        return Ok(());
    }
    if forget.is_empty() {
        return Ok(());
    }
    let runs: Vec<BackupRunId> = rows
        .iter()
        .filter(|row| row.manifest.as_ref().is_some_and(|manifest| forget.contains(&manifest.snapshot)))
        .map(|row| row.id)
        .collect();
    let (what, target) = (what.clone(), target.clone());
    let mark = world
        .store
        .write(world.now(), Actor::Havre, move |tx| tx.mark_snapshots_forgotten(&what, &target, &runs));
    // First the rows: what they say is gone is removed after the next good run where Havre is killed in between.
    mark.await.map_err(|error| chain(&error))?;
    repository.forget(&forget).await.map_err(|error| chain(&error))
}

async fn prune(world: &World, target: &TargetName, repository: &dyn Repository) -> Result<(), String> {
    let (now, name) = (world.now(), target.clone());
    let read = world
        .store
        .read(move |view| Ok((view.find_backup_prune(&name)?, view.get_backup_target(&name)?.created_at)));
    let (last, set_at) = read.await.map_err(|error| chain(&error))?;
    if !is_prune_due(last, set_at, now) {
        return Ok(());
    }
    let pruned = repository.prune(PRUNE_EVERY.duration()).await.map_err(|error| chain(&error))?;
    tracing::info!(backup_target = %target, marked = pruned.marked_bytes, removed = pruned.removed_bytes, "pruned a backup repository");
    let name = target.clone();
    let record = world.store.write(now, Actor::Havre, move |tx| tx.record_backup_prune(&name));
    record.await.map_err(|error| chain(&error))
}
