//! Builds whose turn it is wait here until there is room for them. Whether there is, and for how long it is waited for, is decided in
//! `havre_decide::build::admission`. Tests: `tests/it/build.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use havre_core::build::{Build, State};
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::time::Timestamp;
use havre_decide::build::admission::{Admission, LOOK_AGAIN, admit as decide};
use havre_store::StoreError;

use crate::build::{discard_context, set_state};
use crate::world::World;

/// Builds that wait for room. In memory: after a start of control they have their hour again.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    since: BTreeMap<BuildId, Timestamp>,
    /// Nobody looks before: what is written about a build wakes the loops, and they must not look again at once.
    look_at: Option<Timestamp>,
}

impl Queue {
    /// How many builds this process has seen end; they may have left something in the cache.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn note_end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn is_too_early(&self, now: Timestamp) -> bool {
        let waiting = self.waiting.lock().expect("no holder panics");
        // A clock that was set back must not keep builds waiting.
        waiting.look_at.is_some_and(|at| now < at && at.since(now) <= LOOK_AGAIN)
    }

    fn since(&self, id: BuildId) -> Option<Timestamp> {
        self.waiting.lock().expect("no holder panics").since.get(&id).copied()
    }

    /// Remembers who waits, and forgets who does not any more.
    fn remember(&self, ids: &[BuildId], now: Timestamp) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        waiting.since.retain(|id, _| ids.contains(id));
        for id in ids {
            waiting.since.entry(*id).or_insert(now);
        }
        waiting.look_at = (!ids.is_empty()).then(|| now.after(LOOK_AGAIN));
    }
}

/// Of the builds whose turn it is, those to start now. The others say what they wait for, or fail when they have waited too long.
pub(super) async fn admit(
    world: &World,
    open: &[Build],
    chosen: Vec<BuildId>,
) -> Result<Vec<BuildId>, StoreError> {
    let needs_room =
        |id: &BuildId| open.iter().any(|build| build.id == *id && build.spec.dockerfile().is_some());
    // An image that is only looked up, or a folder that is published, takes little.
    let (asking, mut admitted): (Vec<_>, Vec<_>) = chosen.into_iter().partition(needs_room);
    let now = world.now();
    if asking.is_empty() {
        world.build_queue.remember(&[], now);
        return Ok(admitted);
    }
    if world.build_queue.is_too_early(now) {
        return Ok(admitted);
    }
    let room = world.builder.room().await;
    let mut waits = Vec::new();
    for id in asking {
        match decide(&room, &world.settings.build_floors, world.build_queue.since(id), now) {
            Admission::Start => admitted.push(id),
            Admission::Wait { reason } => {
                tracing::info!(build = %id, %reason, "a build waits for room");
                say(world, id, reason).await?;
                waits.push(id);
            }
            Admission::GiveUp { reason } => {
                let failed = State::Failed { at: now, reason, step: String::new(), last_lines: Vec::new() };
                set_state(world, open, id, failed).await?;
                discard_context(world, id).await;
            }
        }
    }
    world.build_queue.remember(&waits, now);
    if !waits.is_empty() {
        wake_later(world);
    }
    Ok(admitted)
}

async fn say(world: &World, id: BuildId, reason: String) -> Result<(), StoreError> {
    world
        .store
        .write(world.now(), Actor::Havre, move |tx| {
            tx.set_waiting("build", id.row(), &format!("waits for room: {reason}"))
        })
        .await
}

/// Not tracked: who stops need not wait for it.
fn wake_later(world: &World) {
    let (clock, wake) = (Arc::clone(&world.clock), Arc::clone(&world.wake));
    tokio::spawn(async move {
        clock.sleep(LOOK_AGAIN).await;
        wake.notify_one();
    });
}
