//! The loop of backups: what is due is saved, what somebody asked for first; what is kept is kept, and what is too old is told. Every choice is
//! in `havre_core::backup`. Tests: `tests/it/backup.rs`, `tests/it/backup_restart.rs`.
//!
//! A target has one thing under way at most, a look at it included. A run that is begun in its row, and that nobody here is at, was
//! interrupted: Havre was killed, or its step broke off. It is marked as failed, and another one is made.

mod heal;
mod keep;
pub mod owner;
mod pause;
pub(crate) mod producer;
pub mod repositories;
mod run;
mod stream;
pub mod unpack;
pub mod wal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use havre_backup::Repository;
use havre_core::backup::What;
use havre_core::backup::age::{Promise, changes, forgotten};
use havre_core::backup::run::BackupRun;
use havre_core::backup::target::{BackupTarget, TargetState};
use havre_core::event::Actor;
use havre_core::id::BackupRunId;
use havre_core::name::TargetName;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;
use havre_reconcile::deployment::chain;
use havre_rescue::plan::{Asked, Cause, Choice, Duty, Seen, plan};
use havre_store::{StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after an error of the store.
const RETRY: Duration = Duration::from_secs(5);
/// A target that could not be used is looked at again this often.
const LOOK_AGAIN: Span = Span::seconds(60);

/// Damage is looked for again this long after it was, where runs go on failing.
const HEAL_AGAIN: Span = Span::seconds(6 * 3600);

/// What the loop remembers in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Targets with something under way, and the run that is.
    busy: Mutex<BTreeMap<TargetName, Option<Running>>>,
    /// Repositories that were opened, so that what they know is kept and their calls wait for each other.
    repositories: Mutex<BTreeMap<TargetName, Arc<dyn Repository>>>,
    /// When each target was last looked at.
    looked_at: Mutex<BTreeMap<TargetName, Timestamp>>,
    /// Targets whose snapshots were compared with what is there, since this process began and since damage was found.
    compared: Mutex<BTreeSet<TargetName>>,
    /// When damage was last looked for in a target, where no run has ended well since.
    healed_at: Mutex<BTreeMap<TargetName, Timestamp>>,
    /// What an earlier process left was removed.
    is_tidy: AtomicBool,
    /// Havre stops.
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
struct Running {
    run: BackupRunId,
    cancel: CancellationToken,
}

impl Desk {
    /// `false` where something is under way.
    fn begin(&self, target: &TargetName, running: Option<Running>) -> bool {
        let mut busy = self.busy.lock().expect("no holder panics");
        if busy.contains_key(target) {
            return false;
        }
        busy.insert(target.clone(), running);
        true
    }

    fn end(&self, target: &TargetName) {
        self.busy.lock().expect("no holder panics").remove(target);
    }

    fn find(&self, run: BackupRunId) -> Option<Running> {
        let busy = self.busy.lock().expect("no holder panics");
        busy.values().flatten().find(|running| running.run == run).cloned()
    }

    /// Targets with something under way, and how many of them have a run.
    fn busy(&self) -> (BTreeSet<TargetName>, usize) {
        let busy = self.busy.lock().expect("no holder panics");
        (busy.keys().cloned().collect(), busy.values().flatten().count())
    }

    fn repository(&self, target: &TargetName) -> Option<Arc<dyn Repository>> {
        self.repositories.lock().expect("no holder panics").get(target).cloned()
    }

    fn keep_repository(&self, target: &TargetName, repository: &Arc<dyn Repository>) {
        let mut known = self.repositories.lock().expect("no holder panics");
        known.insert(target.clone(), Arc::clone(repository));
    }

    fn forget_repository(&self, target: &TargetName) {
        self.repositories.lock().expect("no holder panics").remove(target);
    }

    /// Whether damage is to be looked for now, which reads the whole repository; then it counts as done.
    fn is_healing_due(&self, target: &TargetName, now: Timestamp) -> bool {
        let mut healed_at = self.healed_at.lock().expect("no holder panics");
        let last = healed_at.get(target).copied();
        let is_due = last.is_none_or(|last| last > now || now.since(last) >= HEAL_AGAIN.duration());
        if is_due {
            healed_at.insert(target.clone(), now);
            self.compared.lock().expect("no holder panics").remove(target);
        }
        is_due
    }

    /// Takes in that a run has ended well; `true` where its target is to be compared with what is there.
    fn ended_well(&self, target: &TargetName) -> bool {
        self.healed_at.lock().expect("no holder panics").remove(target);
        !self.compared.lock().expect("no holder panics").contains(target)
    }

    fn has_compared(&self, target: &TargetName) {
        self.compared.lock().expect("no holder panics").insert(target.clone());
    }

    fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Whether a target that cannot be used is to be looked at; then it counts as looked at.
    fn is_look_due(&self, target: &BackupTarget, now: Timestamp) -> bool {
        let mut looked_at = self.looked_at.lock().expect("no holder panics");
        let last = looked_at.get(&target.spec.name).copied();
        let is_due = match (&target.state, last) {
            (TargetState::Ready, _) => false,
            (TargetState::Waiting, _) | (TargetState::Failed { .. }, None) => true,
            (TargetState::Failed { .. }, Some(last)) => {
                last > now || now.since(last) >= LOOK_AGAIN.duration()
            }
        };
        if is_due {
            looked_at.insert(target.spec.name.clone(), now);
        }
        is_due
    }
}

/// Runs the loop until `stop`. Runs under way are interrupted then: they may take hours.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let pause = match activate(&world).await {
            Ok(again) => again.map_or(RESYNC, |at| at.since(world.now()).min(RESYNC)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not move the backups on; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            _ = changes.changed() => {}
            () = world.backups_wake.notified() => {}
            () = world.clock.sleep(pause.max(GATHER)) => {}
        }
        world.clock.sleep(GATHER).await;
    }
    world.backups.stop.cancel();
}

/// What rows say.
struct Rows {
    targets: Vec<BackupTarget>,
    unfinished: Vec<BackupRun>,
    duties: Vec<Duty>,
    promises: Vec<Promise>,
    alarms: Vec<(What, TargetName)>,
}

fn read(view: &View<'_>) -> Result<Rows, StoreError> {
    Ok(Rows {
        targets: view.list_backup_targets()?,
        unfinished: view.list_unfinished_backup_runs()?,
        duties: view.list_backup_duties()?,
        promises: view.list_backup_promises()?,
        alarms: view.list_backup_alarms()?,
    })
}

/// One round; when to look again if nothing happens before.
///
/// # Errors
/// Those of the store; what was recorded before stays recorded.
pub async fn activate(world: &World) -> Result<Option<Timestamp>, StoreError> {
    // First of all, whatever else there is: somebody waits for an answer of theirs.
    let again = if pause::settle(world).await? { None } else { Some(world.now().after(RETRY)) };
    if !world.backups.is_tidy.swap(true, Ordering::SeqCst) {
        remove_leftovers(world).await;
    }
    let rows = world.store.read(read).await?;
    if rows.targets.is_empty() {
        return Ok(again);
    }
    let waiting = settle_runs(world, rows.unfinished).await?;
    let now = world.now();
    for target in &rows.targets {
        look(world, target, now);
    }
    let next = begin_runs(world, &rows.targets, rows.duties, &waiting).await?;
    tell_alarms(world, &rows.promises, &rows.alarms).await?;
    Ok(again.into_iter().chain(next).min())
}

async fn remove_leftovers(world: &World) {
    let folder = &world.settings.backup_dir;
    if let Err(error) = producer::remove_leftovers(folder).await {
        tracing::warn!(%error, folder = %folder.display(), "could not remove what an earlier backup left; the next start tries again");
    }
}

/// Deals with what rows say of runs: cancels, and marks those nobody is at. Those that wait for their turn, oldest first.
async fn settle_runs(world: &World, unfinished: Vec<BackupRun>) -> Result<Vec<BackupRun>, StoreError> {
    let mut waiting = Vec::new();
    for row in unfinished {
        match (row.begun_at, world.backups.find(row.id)) {
            (_, Some(running)) => {
                if row.cancel_requested {
                    running.cancel.cancel();
                }
            }
            (Some(_), None) => {
                // Read before its task had ended; what is there now counts.
                let id = row.id;
                let row = world.store.read(move |view| view.get_backup_run(id)).await?;
                if !row.state.is_over() {
                    run::interrupt(world, &row).await?;
                }
            }
            (None, None) if row.cancel_requested => run::cancel(world, &row).await?,
            (None, None) => waiting.push(row),
        }
    }
    Ok(waiting)
}

/// Looks whether a target can be used that is new or could not be, beside the loop: it may not answer.
fn look(world: &World, target: &BackupTarget, now: Timestamp) {
    let name = target.spec.name.clone();
    if world.backups.busy().0.contains(&name) || !world.backups.is_look_due(target, now) {
        return;
    }
    if !world.backups.begin(&name, None) {
        return;
    }
    // Its credential may be another one now.
    world.backups.forget_repository(&name);
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let stop = world.backups.stop();
        tokio::select! {
            () = stop.cancelled() => {}
            opened = repositories::open(&world, &name) => {
                if let Err(reason) = opened {
                    tracing::warn!(backup_target = %name, %reason, "a backup target cannot be used");
                }
            }
        }
        world.backups.end(&name);
        world.backups_wake.notify_one();
    });
}

async fn begin_runs(
    world: &World,
    targets: &[BackupTarget],
    duties: Vec<Duty>,
    waiting: &[BackupRun],
) -> Result<Option<Timestamp>, StoreError> {
    let (busy, running) = world.backups.busy();
    let unusable = targets.iter().filter(|target| target.state != TargetState::Ready);
    let unusable: BTreeSet<TargetName> = unusable.map(|target| target.spec.name.clone()).collect();
    let asked = waiting.iter().map(|row| Asked { what: row.what.clone(), target: row.target.clone() });
    let seen = Seen { duties, asked: asked.collect(), busy, unusable, running };
    let plan = plan(&seen, world.now());
    for choice in plan.begin {
        let row = match choice.cause {
            Cause::Asked => waiting.iter().find(|row| row.what == choice.what && row.target == choice.target),
            Cause::Due => None,
        };
        begin(world, choice, row.map(|row| row.id)).await?;
    }
    Ok(plan.look_again_at)
}

/// Records that a run begins, and begins it.
async fn begin(world: &World, choice: Choice, known: Option<BackupRunId>) -> Result<(), StoreError> {
    let Choice { what, target, .. } = choice;
    let name = target.clone();
    let begun = world.store.write(world.now(), Actor::Havre, move |tx| {
        let id = match known {
            Some(id) => id,
            None => tx.create_backup_run(&what, &target)?.id,
        };
        tx.begin_backup_run(id)
    });
    let row = match begun.await {
        Ok(row) => row,
        // Somebody else was faster, or took it away; the next round sees what is there now.
        Err(
            StoreError::BackupRunning { .. }
            | StoreError::TargetBusy { .. }
            | StoreError::Conflict { .. }
            | StoreError::NotFound { .. },
        ) => return Ok(()),
        Err(error) => return Err(error),
    };
    let running = Running { run: row.id, cancel: CancellationToken::new() };
    if world.backups.begin(&name, Some(running.clone())) {
        start(world, row, running.cancel);
    }
    Ok(())
}

fn start(world: &World, row: BackupRun, cancel: CancellationToken) {
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let (id, target) = (row.id, row.target.clone());
        // A task of its own, so that a panic is contained; the row says then that it was interrupted.
        let attempt = tokio::spawn({
            let world = world.clone();
            async move { save(&world, &row, &cancel).await }
        });
        match attempt.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(run = %id, %error, "a backup could not be brought to its end"),
            Err(error) => tracing::error!(run = %id, %error, "a backup broke off"),
        }
        world.backups.end(&target);
        world.backups_wake.notify_one();
    });
}

async fn save(world: &World, row: &BackupRun, cancel: &CancellationToken) -> Result<(), String> {
    let saved = run::run(world, row, cancel).await.map_err(|error| chain(&error))?;
    let Some(opened) = saved else { return Ok(()) };
    heal::compare(world, &row.target, opened.repository.as_ref()).await?;
    keep::tidy(world, &row.what, &row.target, opened.repository.as_ref()).await
}

/// Tells what became too old, and what is there again: once each.
async fn tell_alarms(
    world: &World,
    promises: &[Promise],
    known: &[(What, TargetName)],
) -> Result<(), StoreError> {
    let now = world.now();
    let (changes, gone) = (changes(known, promises, now), forgotten(known, promises));
    if changes.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let write = world.store.write(now, Actor::Havre, move |tx| {
        for change in &changes {
            // A target may have been removed meanwhile.
            if tx.find_backup_target(&change.target)?.is_some() {
                tx.record_backup_alarm(change)?;
            }
        }
        gone.iter().try_for_each(|(what, target)| tx.forget_backup_alarm(what, target))
    });
    write.await
}
