//! One restore: waits for its new database, fills it, and looks at what came of it. Each part is recorded before the next one begins; what
//! follows from what was seen is `havre_rescue::restore`.

use havre_core::database::Database;
use havre_core::database::state::{State as Server, StopReason};
use havre_core::database::task::database_container;
use havre_core::event::Actor;
use havre_core::id::RestoreId;
use havre_core::time::Timestamp;
use havre_reconcile::deployment::chain;
use havre_rescue::proof::{Failure, Findings, Observation, Progress};
use havre_rescue::restore::{PREPARE_MAX, Restore, State, observe};
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::{copy, recovery};
use crate::world::World;

/// Moves a restore on as far as it goes now.
pub(super) async fn advance(
    world: &World,
    id: RestoreId,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut restore = world.store.read(move |view| view.get_restore(id)).await?;
    // A load that was begun by a Havre that has ended is nobody's.
    let mut has_begun = false;
    loop {
        let State::Working { progress } = &restore.state else { return Ok(()) };
        let Some(seen) = step(world, &restore, progress, has_begun, stop).await? else { return Ok(()) };
        if let (Some(_), Observation::Broken { .. }) = (&restore.recovery, &seen)
            && let Err(error) = recovery::discard(world, &restore).await
        {
            tracing::warn!(restore = %id, error = %chain(&error), "could not take away what is left of a restore; trying again");
        }
        let (from, to) =
            (restore.state.clone(), observe(&restore.state, &seen, &restore.manifest, world.now()));
        if let State::Failed { stage, reason, .. } = &to {
            tracing::warn!(restore = %id, %stage, %reason, "a restore failed; what was made of its database goes");
        }
        restore.state = to.clone();
        has_begun = true;
        let write =
            world.store.write(world.now(), Actor::Havre, move |tx| tx.set_restore_state(id, &from, &to));
        write.await?;
    }
}

/// What is seen now; nothing while there is something to wait for, or where Havre stops.
async fn step(
    world: &World,
    restore: &Restore,
    progress: &Progress,
    has_begun: bool,
    stop: &CancellationToken,
) -> Result<Option<Observation>, StoreError> {
    let database = match find(world, restore).await? {
        Ok(database) => database,
        Err(reason) => return Ok(Some(Observation::Broken { reason })),
    };
    if restore.recovery.is_some() {
        return Ok(recovered(world, restore, &database, (progress, has_begun), stop).await);
    }
    let server = copy::Server {
        container: database_container(&database.place(), database.id, database.task),
        spec: database.spec.clone(),
    };
    Ok(match progress {
        Progress::Preparing { since } => prepared(&database, *since, world.now()),
        Progress::Loading { .. } if !has_begun => Some(Observation::Interrupted),
        Progress::Loading { .. } => {
            copy::load(world, &server, (&restore.target, &restore.manifest), stop).await
        }
        Progress::Starting { since, .. } => restarted(&database, *since, world.now()),
        Progress::Checking { .. } => copy::check(world, &server, None, stop).await,
    })
}

/// The same of one that is brought to a second: first its files and its WAL, and only then its own server.
async fn recovered(
    world: &World,
    restore: &Restore,
    database: &Database,
    (progress, has_begun): (&Progress, bool),
    stop: &CancellationToken,
) -> Option<Observation> {
    let broken = |reason| Some(Observation::Broken { reason });
    match progress {
        Progress::Preparing { since } => match recovery::prepare(world, restore, database).await {
            Ok(Ok(())) => Some(Observation::Answers),
            Ok(Err(reason)) if world.now().since(*since) >= PREPARE_MAX => broken(Failure::Server { reason }),
            Ok(Err(why)) => {
                tracing::warn!(restore = %restore.id, %why, "a restore waits for its container");
                None
            }
            Err(reason) => broken(reason),
        },
        Progress::Loading { .. } if !has_begun => {
            // Nobody goes on with it; what is left of it goes with its row.
            let _ = recovery::discard(world, restore).await;
            Some(Observation::Interrupted)
        }
        Progress::Loading { .. } => recovery::load(world, restore, database, stop).await,
        // Files are there before any server starts, so nothing is left for a next one to read: it only has to answer.
        Progress::Starting { since, .. } => prepared(database, *since, world.now()),
        Progress::Checking { since, .. } => match prepared(database, *since, world.now()) {
            Some(Observation::Answers) => Some(Observation::Checked { findings: Findings::default() }),
            seen => seen,
        },
    }
}

/// The new database; or why there is none any more.
async fn find(world: &World, restore: &Restore) -> Result<Result<Database, Failure>, StoreError> {
    let gone = || Failure::Server { reason: "somebody has destroyed it meanwhile".to_owned() };
    let id = restore.database;
    match world.store.read(move |view| view.get_database(id)).await {
        Ok(database) if database.state.is_destroying() => Ok(Err(gone())),
        Ok(database) => Ok(Ok(database)),
        Err(StoreError::NotFound { .. }) => Ok(Err(gone())),
        Err(error) => Err(error),
    }
}

/// What the state of the new database says of the server that reads the snapshot. The loop of databases starts it, because the transaction
/// that recorded that the snapshot is in its place asked for another task.
fn restarted(database: &Database, since: Timestamp, now: Timestamp) -> Option<Observation> {
    let is_next = database.started_revision == database.revision;
    match &database.state {
        Server::Stopped { why: why @ StopReason::Exited { .. }, .. } if is_next => {
            Some(broken(format!("while it read the snapshot, {why}")))
        }
        // The one that knows nothing of the snapshot: it goes.
        Server::Ready { .. } if !is_next => late(since, now),
        _ => prepared(database, since, now),
    }
}

/// What the state of the new database says.
fn prepared(database: &Database, since: Timestamp, now: Timestamp) -> Option<Observation> {
    match &database.state {
        Server::Ready { .. } => Some(Observation::Answers),
        Server::Failed { reason, .. } => Some(broken(reason.to_string())),
        _ => late(since, now),
    }
}

fn late(since: Timestamp, now: Timestamp) -> Option<Observation> {
    (now.since(since) >= PREPARE_MAX).then(|| broken("it did not answer in time".to_owned()))
}

fn broken(reason: String) -> Observation {
    Observation::Broken { reason: Failure::Server { reason } }
}
