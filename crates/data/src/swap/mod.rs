//! The loop of swaps and upgrades: moves each one on until it has ended. Every choice is in `havre_decide::swap`, what is stored together in the
//! store. Tests: `tests/it/swap.rs`.
//!
//! A swap has one step under way at most. Where control is killed, the row says how far it was, and the names inside of the servers say the rest.

mod execute;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use havre_core::backup::state::State as RunState;
use havre_core::database::{Database, RoleState};
use havre_core::id::{DatabaseId, SwapId};
use havre_core::task::spec::Purpose;
use havre_decide::swap::Swap;
use havre_decide::swap::plan::{Part, Seen, Side, Step, User, plan};
use havre_decide::swap::state::State;
use havre_engine::error::EngineError;
use havre_engine::task::EngineTask;
use havre_reconcile::deployment::chain;
use havre_reconcile::service::record_waiting;
use havre_rescue::restore::State as RestoreState;
use havre_store::{StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(15);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after an error, and before a step is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The store failed.
    #[error("could not read or record swaps")]
    Store(#[from] StoreError),
    /// The engine does not answer.
    #[error("could not list the tasks of databases")]
    Engine(#[from] EngineError),
}

/// What the loop remembers in memory only: swaps with a step under way.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    busy: Mutex<BTreeSet<SwapId>>,
}

impl Desk {
    fn begin(&self, id: SwapId) -> bool {
        self.busy.lock().expect("no holder panics").insert(id)
    }

    fn end(&self, id: SwapId) {
        self.busy.lock().expect("no holder panics").remove(&id);
    }

    fn is_busy(&self, id: SwapId) -> bool {
        self.busy.lock().expect("no holder panics").contains(&id)
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
                tracing::warn!(error = %chain(&error), "could not move the swaps of databases on; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            () = world.swaps_wake.notified() => {}
            () = world.clock.sleep(pause) => {}
        }
        world.clock.sleep(GATHER).await;
    }
}

/// A swap with what was seen of it, and its databases.
#[derive(Debug, Clone)]
struct Subject {
    seen: Seen,
    front: Option<Database>,
    back: Option<Database>,
}

/// One round.
///
/// # Errors
/// See [`SwapError`]; what was recorded before stays recorded.
pub async fn activate(world: &World) -> Result<(), SwapError> {
    let open = world.store.read(|view| view.list_open_swaps()).await?;
    if open.is_empty() {
        return Ok(());
    }
    // Listed before rows are read: a row without a task is of later than a task that is not listed.
    let engine = world.engine_tasks().await?;
    for swap in open.into_iter().filter(|swap| !world.swaps.is_busy(swap.id)) {
        let (id, engine) = (swap.id, engine.clone());
        let read = world.store.read(move |view| subject(view, view.get_swap(id)?, &engine));
        advance(world, read.await?).await?;
    }
    Ok(())
}

fn subject(view: &View<'_>, swap: Swap, engine: &[EngineTask]) -> Result<Subject, StoreError> {
    let front = find(view, swap.front)?;
    let back = swap.back.map(|id| find(view, id)).transpose()?;
    let seen = Seen {
        front: side(front.as_ref(), engine),
        back: back.as_ref().map(|back| side(back.as_ref(), engine)),
        part: part(view, &swap.state)?,
        users: match (&swap.state, back.as_ref().and_then(Option::as_ref)) {
            (State::Starting { .. }, Some(back)) => users(view, back)?,
            _ => Vec::new(),
        },
        deployments: match &swap.state {
            State::Deploying { deployments, .. } => deployments
                .iter()
                .filter_map(|id| known(view.get_deployment(*id)).transpose())
                .map(|found| found.map(|found| (found.id, found.state)))
                .collect::<Result<_, _>>()?,
            _ => Vec::new(),
        },
        said: view.waiting("swap", swap.id.row())?.unwrap_or_default(),
        swap,
    };
    Ok(Subject { seen, front, back: back.flatten() })
}

fn known<T>(found: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn find(view: &View<'_>, id: DatabaseId) -> Result<Option<Database>, StoreError> {
    known(view.get_database(id))
}

fn side(database: Option<&Database>, engine: &[EngineTask]) -> Side {
    let Some(database) = database.filter(|database| !database.state.is_destroying()) else {
        return Side::Gone;
    };
    let is_mine = |task: &EngineTask| match task.purpose {
        Purpose::Database { database: id, .. } => id == database.id,
        _ => false,
    };
    if database.state.is_ready() {
        Side::Ready
    } else if !database.state.has_task() && !engine.iter().any(is_mine) {
        Side::Stopped
    } else {
        Side::Between(format!("{} is {}", database.spec.name, database.shown_state()))
    }
}

/// The run or the restore that an upgrade waits for.
fn part(view: &View<'_>, state: &State) -> Result<Option<Part>, StoreError> {
    match state {
        State::Saving { run, .. } => Ok(known(view.get_backup_run(*run))?.map(|run| match &run.state {
            RunState::Good { .. } => Part::Done,
            RunState::Failed { reason, .. } => Part::Failed(reason.to_string()),
            RunState::Dumping { .. } | RunState::Storing { .. } | RunState::Verifying { .. } => {
                let megabytes = run.progress.produced_bytes / (1024 * 1024);
                Part::Working(format!("{}: {megabytes} MB so far ({})", run.shown_state().as_str(), run.id))
            }
        })),
        State::Restoring { restore, .. } => {
            Ok(known(view.get_restore(*restore))?.map(|restore| match &restore.state {
                RestoreState::Ready { .. } => Part::Done,
                RestoreState::Failed { reason, .. } => Part::Failed(reason.to_string()),
                RestoreState::Working { .. } => {
                    Part::Working(format!("{} ({})", restore.state.name(), restore.id))
                }
            }))
        }
        _ => Ok(None),
    }
}

/// Services that use the name, which this database has now.
fn users(view: &View<'_>, database: &Database) -> Result<Vec<User>, StoreError> {
    let (names, roles) = (view.list_database_users(database)?, view.list_database_roles(database.id)?);
    let mut users = Vec::new();
    for service in view.list_environment_services(database.environment)? {
        let name = service.place.service.clone();
        if !names.contains(&name) {
            continue;
        }
        let has_role = roles.iter().any(|role| role.name.service == name && role.state == RoleState::Made);
        let is_deploying = !view.open_deployments(service.id)?.is_empty();
        users.push(User { service: name, has_role, is_deploying });
    }
    Ok(users)
}

async fn advance(world: &World, subject: Subject) -> Result<(), StoreError> {
    let (id, plan) = (subject.seen.swap.id, plan(&subject.seen, world.now()));
    if let Some(step) = plan.step {
        start(world, subject, step);
        return Ok(());
    }
    let Some(next) = plan.next else { return record_waiting(world, "swap", id.row(), plan.waiting_on).await };
    match execute::store(world, &subject.seen.swap, next).await {
        Ok(()) => Ok(()),
        Err(message) => {
            tracing::warn!(swap = %id, error = %message, "could not move a swap on; trying again");
            record_waiting(world, "swap", id.row(), message).await
        }
    }
}

fn start(world: &World, subject: Subject, step: Step) {
    let id = subject.seen.swap.id;
    if !world.swaps.begin(id) {
        return;
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        // A task of its own, so that a panic is contained and the swap is tried again.
        let attempt = tokio::spawn({
            let world = world.clone();
            async move { execute::execute(&world, &subject, step).await }
        });
        let failed = match attempt.await {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(error) => Some(format!("the step broke off: {error}")),
        };
        if let Some(error) = failed {
            tracing::warn!(swap = %id, %error, "could not move a swap on; trying again");
            // Whether people can be told why makes no difference here.
            let _ = record_waiting(&world, "swap", id.row(), error).await;
            world.clock.sleep(RETRY).await;
        }
        world.swaps.end(id);
        world.swaps_wake.notify_one();
    });
}
