//! The loop of databases: keeps each one running on its volume, and lets the services in that use it. Every choice is in
//! `havre_core::database`. Tests: `tests/it/database.rs`.
//!
//! A database has one thing under way at most, a look at its server included; databases never wait for each other. Where control is killed,
//! the labels of a task say which task of which database it is, so that the next one goes on with it and never starts a second server.

pub mod client;
pub(crate) mod execute;
pub mod lost;
pub mod variable;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use havre_core::database::Database;
use havre_core::id::DatabaseId;
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_core::time::Timestamp;
use havre_decide::database::check::check;
use havre_decide::database::plan::{Health, PROBE_READY, PROBE_STARTING, Plan, Seen, plan};
use havre_engine::error::EngineError;
use havre_engine::task::EngineTask;
use havre_store::{Environment, StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::service::record_waiting;
use crate::world::World;

/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after an error of the store or the engine.
const RETRY: Duration = Duration::from_secs(5);
/// Pause before a database is tried again after an error.
const STEP_RETRY: Duration = Duration::from_secs(1);

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The store failed.
    #[error("could not read or record databases")]
    Store(#[from] StoreError),
    /// The engine does not answer.
    #[error("could not list the tasks of databases")]
    Engine(#[from] EngineError),
}

/// What the loop remembers in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Databases with something under way.
    busy: Mutex<BTreeSet<DatabaseId>>,
    /// What each server said last.
    answers: Mutex<BTreeMap<DatabaseId, Answer>>,
}

/// What a server said.
#[derive(Debug, Clone)]
struct Answer {
    /// Number of the task it is of.
    task: u32,
    at: Timestamp,
    health: Health,
}

impl Desk {
    fn begin(&self, id: DatabaseId) -> bool {
        self.busy.lock().expect("no holder panics").insert(id)
    }

    fn end(&self, id: DatabaseId) {
        self.busy.lock().expect("no holder panics").remove(&id);
    }

    fn is_busy(&self, id: DatabaseId) -> bool {
        self.busy.lock().expect("no holder panics").contains(&id)
    }

    /// What the server of the present task said, if that is not too old to count.
    fn answer(&self, database: &Database, now: Timestamp) -> Option<Health> {
        let lasts = if database.state.is_ready() { PROBE_READY } else { PROBE_STARTING };
        let answers = self.answers.lock().expect("no holder panics");
        let answer = answers.get(&database.id).filter(|answer| answer.task == database.task)?;
        // An answer from the future is one before a clock that jumped back.
        let is_fresh = answer.at <= now && now.since(answer.at) < lasts.duration();
        is_fresh.then(|| answer.health.clone())
    }

    fn remember(&self, database: &Database, at: Timestamp, health: Health) {
        let answer = Answer { task: database.task, at, health };
        self.answers.lock().expect("no holder panics").insert(database.id, answer);
    }

    /// Forgets databases that are gone.
    fn keep(&self, databases: &[Subject]) {
        let mut answers = self.answers.lock().expect("no holder panics");
        answers.retain(|id, _| databases.iter().any(|subject| subject.database.id == *id));
    }
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let pause = match activate(&world).await {
            Ok(again) => again.map_or(RESYNC, |at| at.since(world.now()).min(RESYNC)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not move the databases on; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            () = world.databases_wake.notified() => {}
            () = world.clock.sleep(pause.max(GATHER)) => {}
        }
        world.clock.sleep(GATHER).await;
    }
}

/// A database with its environment, and the rows its plan looks at.
#[derive(Debug, Clone)]
struct Subject {
    database: Database,
    environment: Environment,
    roles: Vec<havre_core::database::Role>,
    users: BTreeSet<havre_core::name::ServiceName>,
    in_use: BTreeSet<havre_core::database::role::RoleName>,
    is_volume_held: bool,
    is_held: bool,
    lost: Option<String>,
}

/// One round; when to look again if nothing happens before.
///
/// # Errors
/// See [`DatabaseError`]; what was recorded before stays recorded.
pub async fn activate(world: &World) -> Result<Option<Timestamp>, DatabaseError> {
    let has_some = world.store.read(|view| Ok(!view.list_databases()?.is_empty())).await?;
    if !has_some {
        return Ok(None);
    }
    // Listed before rows are read: a task that is begun after this has its number in the rows.
    let engine = world.engine_tasks().await?;
    let now = world.now();
    let subjects = world.store.read(move |view| read(view, now)).await?;
    world.databases.keep(&subjects);
    let mut again: Option<Timestamp> = None;
    for subject in subjects {
        if world.databases.is_busy(subject.database.id) {
            continue;
        }
        let next = advance(world, subject, &engine).await?;
        again = [again, next].into_iter().flatten().min();
    }
    Ok(again)
}

fn read(view: &View<'_>, now: Timestamp) -> Result<Vec<Subject>, StoreError> {
    let filled = view.list_databases_being_filled()?;
    let mut subjects = Vec::new();
    for database in view.list_databases()? {
        // Whoever would write into one that is filled would not find it again, and the restore would find what nobody saved.
        let users = match filled.contains(&database.id) {
            true => BTreeSet::new(),
            false => view.list_database_users(&database)?,
        };
        subjects.push(Subject {
            environment: view.get_environment(database.environment)?,
            roles: view.list_database_roles(database.id)?,
            users,
            in_use: view.list_roles_in_use(&database)?,
            is_volume_held: view.is_volume_held(database.id)?,
            is_held: view.find_open_swap(database.id)?.is_some_and(|swap| swap.state.holds_servers()),
            lost: lost::why(view, &database, now)?,
            database,
        });
    }
    Ok(subjects)
}

fn see(subject: &Subject, engine: &[EngineTask]) -> Seen {
    let (id, number) = (subject.database.id, subject.database.task);
    let mut task = EngineState::Absent;
    let mut others = Vec::new();
    for found in engine {
        match found.purpose {
            Purpose::Database { database, task: other } if database == id && other == number => {
                task = found.state.clone();
            }
            Purpose::Database { database, task: other } if database == id => others.push(other),
            _ => {}
        }
    }
    Seen {
        database: subject.database.clone(),
        task,
        others,
        health: Health::NotAsked,
        roles: subject.roles.clone(),
        users: subject.users.clone(),
        in_use: subject.in_use.clone(),
        is_volume_held: subject.is_volume_held,
        is_held: subject.is_held,
        lost: subject.lost.clone(),
    }
}

/// One database: asks its server, or does what is planned, or says what it waits for and when it wants to be looked at again.
async fn advance(
    world: &World,
    subject: Subject,
    engine: &[EngineTask],
) -> Result<Option<Timestamp>, StoreError> {
    let (id, now) = (subject.database.id, world.now());
    let mut seen = see(&subject, engine);
    if let EngineState::Running { .. } = seen.task {
        let Some(health) = world.databases.answer(&seen.database, now) else {
            ask(world, seen.database);
            return Ok(None);
        };
        seen.health = health;
    }
    let plan = plan(&seen, now);
    if let Some(violation) = check(&plan, &seen).first() {
        tracing::error!(database = %id, %violation, "refused to execute a plan that breaks a law");
        return Ok(None);
    }
    record_waiting(world, "database", id.row(), plan.waiting_on.clone()).await?;
    if plan.steps.is_empty() && plan.next.is_none() {
        return Ok(plan.look_again_at);
    }
    start(world, subject, seen, plan);
    Ok(None)
}

/// Asks a server how it is, beside the loop: it may not answer.
fn ask(world: &World, database: Database) {
    if !world.databases.begin(database.id) {
        return;
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let health = client::probe(&world, &database).await;
        world.databases.remember(&database, world.now(), health);
        world.databases.end(database.id);
        world.databases_wake.notify_one();
    });
}

fn start(world: &World, subject: Subject, seen: Seen, plan: Plan) {
    let id = seen.database.id;
    if !world.databases.begin(id) {
        return;
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        // A task of its own, so that a panic is contained and the database is tried again.
        let attempt = tokio::spawn({
            let world = world.clone();
            async move { execute::execute(&world, &subject.environment, &seen, plan).await }
        });
        let failed = match attempt.await {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(error) => Some(format!("the step broke off: {error}")),
        };
        if let Some(error) = failed {
            tracing::warn!(database = %id, %error, "could not move a database on; trying again");
            world.clock.sleep(STEP_RETRY).await;
        }
        world.databases.end(id);
        // Wakes the loops of services as well: one of them may wait for this database.
        world.engine_changed();
    });
}
