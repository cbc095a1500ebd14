//! A hand-driven engine in memory for the tests of the loops. Deterministic: its clock moves by one millisecond with each
//! thing that happens, nothing happens by itself, and it survives a restart of control because clones share one world.
//!
//! It runs nothing: how a task behaves is scripted per image ([`script`]), and tests turn its knobs ([`knobs`]). Tests:
//! the contract suite `tests/it/contract.rs`, which the Docker engine passes too.

mod calls;
pub mod files;
pub mod knobs;
pub mod script;
mod streams;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::fake::world::World;

/// The fake engine. Clones share one world.
#[derive(Clone)]
pub struct FakeEngine {
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    /// Grows with every change, so that log followers and waiters look again.
    changed: watch::Sender<u64>,
}

impl std::fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEngine").finish_non_exhaustive()
    }
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeEngine {
    /// An engine that answers, with nothing in it.
    pub fn new() -> Self {
        let shared = Shared { world: Mutex::new(World::new()), changed: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().expect("no test panics while it holds the world")
    }

    /// Does something to the world and lets everyone who waits look again.
    fn change<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let result = act(&mut self.world());
        self.shared.changed.send_modify(|count| *count += 1);
        result
    }
}
