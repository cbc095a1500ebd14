//! The loop of WAL: what servers have handed out goes to every target of their policy, and leaves their disks once all of them have it. Every
//! choice is in `havre_rescue::spool`. Tests: `tests/it/wal.rs`.
//!
//! A database is looked at by one task at a time, and each target takes from it by itself: neither databases nor targets wait for each other.
//! Whatever is cut off is seen again: a file leaves a disk only after the rows say that its snapshots are there.

mod collect;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use havre_core::backup::policy::{of_database, what_of};
use havre_core::backup::target::TargetState;
use havre_core::database::Database;
use havre_core::database::task::database_container;
use havre_core::event::Actor;
use havre_core::id::DatabaseId;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_reconcile::deployment::chain;
use havre_rescue::spool::{Batch, CLOSED_AT, Held, Mark, Plan, Trouble, is_mark_due, judge, plan, until};
use havre_rescue::wal::WalFile;
use havre_store::{StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::restore::copy;
use crate::world::World;

/// Each database is looked at this often: a part of the minute that may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Marks that are remembered of each database: some hours, for a target that is away for as long.
const MARKS_MAX: usize = 500;

/// What the loop remembers in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Databases with a look under way.
    busy: Mutex<BTreeSet<DatabaseId>>,
    /// Targets that take something of a database now.
    taking: Mutex<BTreeSet<(DatabaseId, TargetName)>>,
    known: Mutex<BTreeMap<DatabaseId, Known>>,
}

/// What is known of one database.
#[derive(Debug, Clone)]
struct Known {
    marks: Vec<Mark>,
    marked_at: Option<Timestamp>,
    /// Since when it is looked at: what a target lacks of before says nothing about it.
    since: Timestamp,
    /// The trouble the rows know of; nothing before the first look.
    told: Option<Option<&'static str>>,
}

impl Desk {
    fn begin(&self, id: DatabaseId) -> bool {
        self.busy.lock().expect("no holder panics").insert(id)
    }

    fn end(&self, id: DatabaseId) {
        self.busy.lock().expect("no holder panics").remove(&id);
    }

    fn begin_taking(&self, key: &(DatabaseId, TargetName)) -> bool {
        self.taking.lock().expect("no holder panics").insert(key.clone())
    }

    fn end_taking(&self, key: &(DatabaseId, TargetName)) {
        self.taking.lock().expect("no holder panics").remove(key);
    }

    fn is_taking(&self, key: &(DatabaseId, TargetName)) -> bool {
        self.taking.lock().expect("no holder panics").contains(key)
    }

    fn known(&self, id: DatabaseId, now: Timestamp) -> Known {
        let mut known = self.known.lock().expect("no holder panics");
        let new = || Known { marks: Vec::new(), marked_at: None, since: now, told: None };
        known.entry(id).or_insert_with(new).clone()
    }

    fn remember(&self, id: DatabaseId, mut one: Known) {
        let surplus = one.marks.len().saturating_sub(MARKS_MAX);
        one.marks.drain(..surplus);
        self.known.lock().expect("no holder panics").insert(id, one);
    }

    /// Forgets databases that are gone, or hand nothing out any more.
    fn keep(&self, there: &[Subject]) {
        let mut known = self.known.lock().expect("no holder panics");
        known.retain(|id, _| there.iter().any(|subject| subject.database.id == *id));
    }
}

/// A database that hands its WAL out, and where that goes.
#[derive(Debug, Clone)]
struct Subject {
    database: Database,
    /// Each with whether it can be used.
    targets: Vec<(TargetName, bool)>,
}

impl Subject {
    fn server(&self) -> copy::Server {
        let database = &self.database;
        let container = database_container(&database.place(), database.id, database.task);
        copy::Server { container, spec: database.spec.clone() }
    }
}

/// Runs the loop until `stop`. What is under way then is given up: the next start does it again.
pub async fn run(world: World, stop: CancellationToken) {
    loop {
        if let Err(error) = activate(&world, &stop).await {
            tracing::warn!(error = %chain(&error), "could not look at the WAL of databases; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = world.clock.sleep(LOOK_EVERY) => {}
        }
    }
}

/// Looks at every database that hands its WAL out, beside the loop: targets may take their time.
///
/// # Errors
/// Those of the store.
pub async fn activate(world: &World, stop: &CancellationToken) -> Result<(), StoreError> {
    let subjects = world.store.read(read).await?;
    world.wal.keep(&subjects);
    for subject in subjects {
        let id = subject.database.id;
        if !world.wal.begin(id) {
            continue;
        }
        let (world, stop) = (world.clone(), stop.clone());
        world.clone().tracker.spawn(async move {
            // A task of its own, so that a panic is contained.
            let look = tokio::spawn({
                let world = world.clone();
                async move {
                    tokio::select! {
                        () = stop.cancelled() => Ok(()),
                        looked = look(&world, &subject, &stop) => looked,
                    }
                }
            });
            let failed = match look.await {
                Ok(Ok(())) => None,
                Ok(Err(message)) => Some(message),
                Err(error) => Some(format!("it broke off: {error}")),
            };
            if let Some(error) = failed {
                tracing::warn!(database = %id, %error, "could not take the WAL of a database; trying again");
            }
            world.wal.end(id);
        });
    }
    Ok(())
}

fn read(view: &View<'_>) -> Result<Vec<Subject>, StoreError> {
    let targets = view.list_backup_targets()?;
    let mut subjects = Vec::new();
    for database in view.list_databases()? {
        let Some(policy) = of_database(&database) else { continue };
        let is_current = database.started_revision == database.revision;
        if !database.spec.keeps_wal() || !database.state.is_ready() || !is_current {
            continue;
        }
        let goes = targets.iter().filter(|target| policy.goes_to(&target.spec.name));
        let targets = goes.map(|target| (target.spec.name.clone(), target.state == TargetState::Ready));
        subjects.push(Subject { targets: targets.collect(), database });
    }
    Ok(subjects)
}

/// One look: what lies there goes where it is missing, what everybody has goes, what is wrong is told, and a mark is made.
async fn look(world: &World, subject: &Subject, stop: &CancellationToken) -> Result<(), String> {
    let (id, server) = (subject.database.id, subject.server());
    let mut known = world.wal.known(id, world.now());
    let spool = collect::list(world, &server).await?;
    let first = spool.iter().filter_map(|file| segment(*file)).min();
    let held = held(world, subject, first).await?;
    let planned = plan(&spool, &held);
    for batch in &planned.store {
        let mut there = held.iter().flat_map(|one| &one.stretches);
        let before =
            there.find(|stretch| Some(stretch.id) == batch.replaces).and_then(|stretch| stretch.until);
        let until = before.max(until(&known.marks, batch.first.timeline, batch.last));
        bring(world, subject, batch, until, stop);
    }
    tell(world, subject, &planned, (&spool, &mut known)).await?;
    let gone: Vec<WalFile> = planned.remove.iter().chain(&planned.lose).copied().collect();
    collect::remove(world, &server, &gone).await?;
    let now = world.now();
    let left = spool.len().saturating_sub(gone.len());
    if is_mark_due(known.marked_at, left, now) {
        known.marked_at = Some(now);
        known.marks.extend(collect::make_mark(world, &server, now).await?);
    }
    world.wal.remember(id, known);
    Ok(())
}

/// Brings a batch to its target, beside the look: one that takes its time holds no other one up.
fn bring(
    world: &World,
    subject: &Subject,
    batch: &Batch,
    until: Option<Timestamp>,
    stop: &CancellationToken,
) {
    let key = (subject.database.id, batch.target.clone());
    if !world.wal.begin_taking(&key) {
        return;
    }
    let (world, subject, batch, stop) = (world.clone(), subject.clone(), batch.clone(), stop.clone());
    world.clone().tracker.spawn(async move {
        // A task of its own, so that a panic is contained.
        let taken = tokio::spawn({
            let world = world.clone();
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = take(&world, &subject, &batch, until) => {}
                }
            }
        });
        if let Err(error) = taken.await {
            tracing::error!(database = %key.0, backup_target = %key.1, %error, "taking WAL broke off");
        }
        world.wal.end_taking(&key);
    });
}

/// What fails is planned again by the next look.
async fn take(world: &World, subject: &Subject, batch: &Batch, until: Option<Timestamp>) {
    let (database, target) = (&subject.database, &batch.target);
    if let Err(error) = collect::store(world, database, &subject.server(), batch, until).await {
        tracing::warn!(database = %database.id, backup_target = %target, %error, "a target did not take WAL; trying again");
        return;
    }
    if batch.last - batch.first.number + 1 >= CLOSED_AT {
        collect::tidy(world, database, target).await;
    }
}

fn segment(file: WalFile) -> Option<u64> {
    match file {
        WalFile::Segment(segment) => Some(segment.number),
        WalFile::Label { .. } | WalFile::History { .. } => None,
    }
}

async fn held(world: &World, subject: &Subject, first: Option<u64>) -> Result<Vec<Held>, String> {
    let (id, mut targets) = (subject.database.id, subject.targets.clone());
    for (target, is_usable) in &mut targets {
        *is_usable &= !world.wal.is_taking(&(id, target.clone()));
    }
    let from = first.unwrap_or(u64::MAX);
    let read = world.store.read(move |view| {
        let mut held = Vec::new();
        for (target, is_usable) in targets {
            let stretches = view.list_spooled_stretches(id, &target, from)?;
            held.push(Held { target, is_usable, stretches });
        }
        Ok(held)
    });
    read.await.map_err(|error| chain(&error))
}

/// Records what waits and what is wrong, where that is not what the rows say.
async fn tell(
    world: &World,
    subject: &Subject,
    planned: &Plan,
    (spool, known): (&BTreeSet<WalFile>, &mut Known),
) -> Result<(), String> {
    let (id, what, now) = (subject.database.id, what_of(&subject.database), world.now());
    let targets: Vec<TargetName> = subject.targets.iter().map(|(target, _)| target.clone()).collect();
    let read = world.store.read(move |view| {
        let newest =
            targets.into_iter().map(|target| Ok((target.clone(), view.find_wal_until(id, &target)?)));
        newest.collect::<Result<Vec<_>, StoreError>>()
    });
    let newest = read.await.map_err(|error| chain(&error))?;
    let waiting = spool.iter().filter(|file| segment(**file).is_some()).count();
    let trouble = judge(planned, waiting, &newest, known.since, now);
    let name = trouble.as_ref().map(Trouble::name);
    if known.told == Some(name) && planned.store.is_empty() {
        return Ok(());
    }
    if let Some(trouble) = trouble.as_ref().filter(|_| known.told != Some(name)) {
        tracing::error!(database = %id, %trouble, "WAL of a database is not where it should be; see docs/rooms/wal.md");
    }
    let record = world
        .store
        .write(now, Actor::Havre, move |tx| tx.record_wal_spool(&what, id, waiting as u64, trouble.as_ref()));
    record.await.map_err(|error| chain(&error))?;
    known.told = Some(name);
    Ok(())
}
