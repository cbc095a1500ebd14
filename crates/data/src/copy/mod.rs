//! The loop of copies: moves each one on until it has ended. Every choice is in `havre_core::copy`, every mask in `havre_privacy`.
//! Tests: `tests/it/copy.rs`.
//!
//! A copy has one step under way at most; copies never wait for each other. Where control is killed, the row says how far a copy was: one that
//! was being filled is begun again with a fresh database, or undone, and one that was being put into its place is looked at by its names.

mod execute;
pub(crate) mod program;
mod rows;
pub mod transfer;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use havre_core::copy::state::State;
use havre_core::copy::{DatabaseCopy, Origin};
use havre_core::database::Database;
use havre_core::id::{CopyId, DatabaseId};
use havre_decide::copy::plan::{Seen, Side, Step, plan};
use havre_reconcile::deployment::chain;
use havre_reconcile::service::record_waiting;
use havre_store::{StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after an error of the store.
const RETRY: Duration = Duration::from_secs(5);
/// Pause before a step is tried again after an error.
const STEP_RETRY: Duration = Duration::from_secs(5);

/// What the loop remembers in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Copies with a step under way, and how to end it early.
    busy: Mutex<BTreeMap<CopyId, CancellationToken>>,
    /// Control is being stopped: nothing begins, and what is under way is left for the next one.
    is_stopping: AtomicBool,
}

impl Desk {
    /// Answers how the step is ended early; `None` while another one is under way.
    fn begin(&self, id: CopyId) -> Option<CancellationToken> {
        let mut busy = self.busy.lock().expect("no holder panics");
        if busy.contains_key(&id) || self.is_stopping() {
            return None;
        }
        let token = CancellationToken::new();
        busy.insert(id, token.clone());
        Some(token)
    }

    fn end(&self, id: CopyId) {
        self.busy.lock().expect("no holder panics").remove(&id);
    }

    fn find(&self, id: CopyId) -> Option<CancellationToken> {
        self.busy.lock().expect("no holder panics").get(&id).cloned()
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Ends every step early that may be.
    fn stop(&self) {
        let busy = self.busy.lock().expect("no holder panics");
        self.is_stopping.store(true, Ordering::SeqCst);
        for token in busy.values() {
            token.cancel();
        }
    }
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let pause = match activate(&world).await {
            Ok(()) => RESYNC,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not move the copies of databases on; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            _ = changes.changed() => {}
            () = world.copies_wake.notified() => {}
            () = world.clock.sleep(pause) => {}
        }
        world.clock.sleep(GATHER).await;
    }
    // A copy may take hours. Its row says where the next control goes on.
    world.copies.stop();
}

/// A copy with the rows it is about, as far as they are there.
#[derive(Debug, Clone)]
struct Subject {
    copy: DatabaseCopy,
    source: Option<Database>,
    target: Option<Database>,
}

impl Subject {
    fn see(&self) -> Seen {
        let source = match self.copy.origin {
            Origin::Database { .. } => Some(side(self.source.as_ref())),
            Origin::Upload => None,
        };
        Seen { copy: self.copy.clone(), source, target: side(self.target.as_ref()) }
    }
}

fn side(database: Option<&Database>) -> Side {
    match database {
        None => Side::Gone,
        Some(database) if database.state.is_destroying() => Side::Gone,
        Some(database) if database.state.is_ready() => Side::Ready,
        Some(database) => Side::NotReady(format!("it is {}", database.shown_state())),
    }
}

/// One round.
///
/// # Errors
/// When the store fails; what was recorded before stays recorded.
pub async fn activate(world: &World) -> Result<(), StoreError> {
    for subject in world.store.read(read).await? {
        let id = subject.copy.id;
        if let Some(token) = world.copies.find(id) {
            if subject.copy.cancel_requested && matches!(subject.copy.state, State::Copying { .. }) {
                token.cancel();
            }
            continue;
        }
        advance(world, subject).await?;
    }
    Ok(())
}

fn read(view: &View<'_>) -> Result<Vec<Subject>, StoreError> {
    let open = view.list_open_copies()?;
    open.into_iter().map(|copy| subject(view, copy)).collect()
}

fn subject(view: &View<'_>, copy: DatabaseCopy) -> Result<Subject, StoreError> {
    let source = match copy.origin {
        Origin::Database { id, .. } => find(view, id)?,
        Origin::Upload => None,
    };
    Ok(Subject { source, target: find(view, copy.target)?, copy })
}

fn find(view: &View<'_>, id: DatabaseId) -> Result<Option<Database>, StoreError> {
    match view.get_database(id) {
        Ok(database) => Ok(Some(database)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn advance(world: &World, subject: Subject) -> Result<(), StoreError> {
    let plan = plan(&subject.see(), world.now());
    let id = subject.copy.id;
    if let Some(step) = plan.step {
        start(world, subject, step);
        return Ok(());
    }
    record_waiting(world, "copy", id.row(), plan.waiting_on).await?;
    if let Some(next) = plan.next
        && let Err(error) = execute::store(world, &subject, next).await
    {
        tracing::warn!(copy = %id, %error, "could not move a copy on; trying again");
    }
    Ok(())
}

fn start(world: &World, subject: Subject, step: Step) {
    let id = subject.copy.id;
    let Some(cancel) = world.copies.begin(id) else { return };
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        // A task of its own, so that a panic is contained and the copy is tried again.
        let attempt = tokio::spawn({
            let world = world.clone();
            async move { execute::execute(&world, &subject, step, &cancel).await }
        });
        let failed = match attempt.await {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(error) => Some(format!("the step broke off: {error}")),
        };
        if let Some(error) = failed {
            tracing::warn!(copy = %id, %error, "could not move a copy on; trying again");
            // Whether people can be told why makes no difference here.
            let _ = record_waiting(&world, "copy", id.row(), error).await;
            world.clock.sleep(STEP_RETRY).await;
        }
        world.copies.end(id);
        world.copies_wake.notify_one();
    });
}
