//! The loop of restores and drills: fills new databases with snapshots, tries snapshots in servers that are thrown away, and says when the next
//! drill is due. Every choice is in `havre_core::backup`. Tests: `tests/it/restore.rs`, `tests/it/drill.rs`.
//!
//! Few run at once, each of them in a task of its own. What Havre left half done is seen by its row: a load that nobody goes on with proves
//! nothing, so the copy goes, with its container and its volume.

pub(crate) mod copy;
mod drill;
pub mod give;
pub(crate) mod lost;
mod mariadb;
mod new;
mod postgres;
mod recovery;
mod redis;
mod schedule;
mod second;
mod volume;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use havre_core::id::{DrillId, RestoreId, VolumeRestoreId};
use havre_core::task::spec::Purpose;
use havre_core::time::Timestamp;
use havre_engine::error::EngineError;
use havre_engine::task::EngineTask;
use havre_reconcile::deployment::chain;
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Copies that are filled or looked at at once: each of them is a whole server beside those that work.
const AT_ONCE: usize = 2;
/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// The same while something is under way: nobody announces that a server answers.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after an error of the store or the engine, and before a copy is tried again after one.
const RETRY: Duration = Duration::from_secs(5);

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store failed.
    #[error("could not read or record restores and drills")]
    Store(#[from] StoreError),
    /// The engine does not answer.
    #[error("could not list the tasks of drills")]
    Engine(#[from] EngineError),
}

/// Something that is filled or looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Restore(RestoreId),
    Drill(DrillId),
    Volume(VolumeRestoreId),
}

/// What the loop remembers in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// What is under way.
    busy: Mutex<BTreeSet<Item>>,
    /// The engine was seen without a task of any drill or restore that is over, and none has begun since.
    is_tidy: AtomicBool,
}

impl Desk {
    /// `true` when the caller should go on with it: nobody does, and there is room.
    fn begin(&self, item: Item) -> bool {
        let mut busy = self.busy.lock().expect("no holder panics");
        busy.len() < AT_ONCE && busy.insert(item)
    }

    fn end(&self, item: Item) {
        self.busy.lock().expect("no holder panics").remove(&item);
    }

    /// A container is about to be started that is to go.
    fn begin_untidy(&self) {
        self.is_tidy.store(false, Ordering::SeqCst);
    }

    fn is_busy(&self, item: Item) -> bool {
        self.busy.lock().expect("no holder panics").contains(&item)
    }
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let pause = match activate(&world, &stop).await {
            Ok(again) => again.map_or(RESYNC, |at| at.since(world.now()).min(RESYNC)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not move restores and drills on; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            () = world.restores_wake.notified() => {}
            () = world.clock.sleep(pause.max(GATHER)) => {}
        }
        world.clock.sleep(GATHER).await;
    }
}

/// One round; when to look again if nothing happens before. What it begins gives up where `stop` is cancelled.
///
/// # Errors
/// See [`RestoreError`]; what was recorded before stays recorded.
pub async fn activate(world: &World, stop: &CancellationToken) -> Result<Option<Timestamp>, RestoreError> {
    let next = [schedule::plan(world).await?, lost::put_back(world).await?].into_iter().flatten().min();
    if !world.restores.is_tidy.load(Ordering::SeqCst) {
        tidy(world).await?;
    }
    let items = world.store.read(|view| {
        let (restores, drills) = (view.list_open_restores()?, view.list_open_drills()?);
        let restores = restores.into_iter().map(|restore| Item::Restore(restore.id));
        let volumes = view.list_open_volume_restores()?.into_iter();
        let volumes = volumes.map(|restore| Item::Volume(restore.id));
        let drills = drills.into_iter().map(|drill| Item::Drill(drill.id));
        Ok(restores.chain(volumes).chain(drills).collect::<Vec<Item>>())
    });
    let items = items.await?;
    for item in &items {
        start(world, *item, stop);
    }
    if items.is_empty() {
        return Ok(next);
    }
    let soon = world.now().after(LOOK_AGAIN);
    Ok(Some(next.map_or(soon, |at| at.min(soon))))
}

/// Takes away what is left of drills and restores that are over, or that the store knows nothing of.
async fn tidy(world: &World) -> Result<(), RestoreError> {
    // Listed before rows are read: what is begun after this has its row.
    let engine = world.engine_tasks().await?;
    let read = world.store.read(|view| {
        let open: BTreeSet<DrillId> = view.list_open_drills()?.into_iter().map(|drill| drill.id).collect();
        let held = view.list_open_restores()?.into_iter().filter(|restore| restore.holds_volume());
        Ok((open, held.map(|restore| restore.id).collect::<BTreeSet<RestoreId>>()))
    });
    let (open, held) = read.await?;
    let mut is_tidy = held.is_empty();
    for (id, task) in engine.iter().filter_map(|task| Some((recovery::of_task(task.purpose)?, task))) {
        if held.contains(&id) || world.restores.is_busy(Item::Restore(id)) {
            continue;
        }
        if let Err(error) = world.engine.remove_task(&task.name).await {
            tracing::warn!(restore = %id, error = %chain(&error), "could not take away what is left of a restore; trying again");
            is_tidy = false;
        }
        world.forget_engine();
    }
    for (id, task) in engine.iter().filter_map(of_drill) {
        if open.contains(&id) || world.restores.is_busy(Item::Drill(id)) {
            continue;
        }
        if let Err(error) = drill::discard(world, id, &task.name).await {
            tracing::warn!(drill = %id, %error, "could not take away what is left of a drill; trying again");
            is_tidy = false;
        }
    }
    world.restores.is_tidy.store(is_tidy, Ordering::SeqCst);
    Ok(())
}

fn of_drill(task: &EngineTask) -> Option<(DrillId, &EngineTask)> {
    match task.purpose {
        Purpose::Drill { drill } => Some((drill, task)),
        _ => None,
    }
}

fn start(world: &World, item: Item, stop: &CancellationToken) {
    if !world.restores.begin(item) {
        return;
    }
    let (world, stop) = (world.clone(), stop.clone());
    world.clone().tracker.spawn(async move {
        // A task of its own, so that a panic is contained and the copy is tried again.
        let attempt = tokio::spawn({
            let (world, stop) = (world.clone(), stop.clone());
            async move { advance(&world, item, &stop).await }
        });
        let failed = match attempt.await {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(error) => Some(format!("it broke off: {error}")),
        };
        if let Some(error) = failed {
            tracing::warn!(copy = ?item, %error, "could not move a restore or a drill on; trying again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = world.clock.sleep(RETRY) => {}
            }
        }
        world.restores.end(item);
    });
}

async fn advance(world: &World, item: Item, stop: &CancellationToken) -> Result<(), String> {
    match item {
        Item::Restore(id) => new::advance(world, id, stop).await.map_err(|error| chain(&error)),
        Item::Drill(id) => drill::advance(world, id, stop).await,
        Item::Volume(id) => volume::advance(world, id, stop).await,
    }
}
