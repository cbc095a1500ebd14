//! Packs repositories anew, one after the other, beside everything else. When one is due is decided in `havre_decide::source::repack`;
//! that it makes way for pushes is the source's promise. Tests: `tests/it/repack.rs`.

use std::sync::{Arc, Mutex};

use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_decide::source::repack::is_due;
use havre_source::SourceError;
use havre_source::source::Repacked;
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::world::World;

/// Stops the one that is being packed anew in this process.
pub(crate) type Repacking = Arc<Mutex<Option<CancellationToken>>>;

/// Begins one that is due, unless another one is at work.
///
/// # Errors
/// The store failed.
pub(super) async fn activate(world: &World) -> Result<(), StoreError> {
    let now = world.now();
    let all = world.store.read(|view| view.list_repositories()).await?;
    let due = all.into_iter().find(|row| is_due(row.pushed_at, row.repacked_at, now));
    if let Some(row) = due {
        start(world, row.project);
    }
    Ok(())
}

/// Tells the one at work to stop. It is begun again after the start.
pub(super) fn cancel(world: &World) {
    if let Some(cancel) = &*world.repacking.lock().expect("no holder panics") {
        cancel.cancel();
    }
}

fn start(world: &World, project: ProjectName) {
    let cancel = CancellationToken::new();
    {
        let mut repacking = world.repacking.lock().expect("no holder panics");
        if repacking.is_some() {
            return;
        }
        *repacking = Some(cancel.clone());
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let has_recorded = run(&world, project, cancel).await;
        *world.repacking.lock().expect("no holder panics") = None;
        if has_recorded {
            // The next one may be due.
            world.pipelines_wake.notify_one();
        }
    });
}

/// One repository; whether it is dealt with. One that cannot be packed is not tried again before the next push and day: nothing gets
/// worse by that, and what is wrong with it shows where it is read.
async fn run(world: &World, project: ProjectName, cancel: CancellationToken) -> bool {
    // What is pushed from now on waits for the next time.
    let begun = world.now();
    match world.source.repack(&project, cancel).await {
        Ok(Repacked::Done) => {}
        // Whoever pushes wakes the loop.
        Ok(Repacked::Busy) | Err(SourceError::Cancelled) => return false,
        Err(error) => {
            tracing::warn!(%project, error = %chain(&error), "could not pack a repository anew");
        }
    }
    let name = project.clone();
    let recorded = world.store.write(begun, Actor::Havre, move |tx| tx.repository_repacked(&name, begun));
    match recorded.await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%project, error = %chain(&error), "could not record that a repository was packed anew");
            false
        }
    }
}
