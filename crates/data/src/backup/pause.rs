//! Tasks that are paused while a volume of theirs is read. Each is named in the store before it is paused, so that somebody lets it go on
//! whatever happens to the run: the run itself, the one that cleans up after it, or the next round of a Havre that was killed.

use havre_core::event::Actor;
use havre_core::id::{BackupRunId, ServiceId};
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_engine::error::EngineError;
use havre_reconcile::deployment::chain;
use havre_store::{StoreError, VolumePause};

use crate::world::World;

/// Why tasks could not be paused, or let go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum PauseError {
    /// The store failed.
    #[error("could not record which tasks are paused")]
    Store(#[from] StoreError),
    /// The engine did not do it.
    #[error("could not pause the tasks of a volume, or let them go on")]
    Engine(#[from] EngineError),
}

/// Pauses every task of a service that may write to its volumes; which ones.
pub(super) async fn hold(
    world: &World,
    service: ServiceId,
    run: BackupRunId,
) -> Result<Vec<String>, PauseError> {
    let pauses = running(world, service, run).await?;
    let names: Vec<String> = pauses.iter().map(|pause| pause.container.clone()).collect();
    let record = move |tx: &mut havre_store::Tx<'_>| tx.record_volume_pauses(&pauses);
    world.store.write(world.now(), Actor::Havre, record).await?;
    for name in &names {
        world.engine.pause(name).await?;
    }
    Ok(names)
}

/// Lets every task go on that a run has paused. Answers whether all of `held` were paused until now, and whether nobody else began to run
/// meanwhile: only then nobody wrote.
pub(super) async fn release(
    world: &World,
    service: ServiceId,
    run: BackupRunId,
    held: &[String],
) -> Result<bool, PauseError> {
    let mut others = running(world, service, run).await?;
    others.retain(|pause| !held.contains(&pause.container));
    let mut was_still = others.is_empty();
    for pause in of_run(world, run).await? {
        was_still &= let_go_on(world, &pause.container).await?;
    }
    Ok(was_still)
}

/// Lets go on what runs have paused that nobody is at. `false` where something is left: it is tried again.
pub(super) async fn settle(world: &World) -> Result<bool, StoreError> {
    let mut is_done = true;
    for pause in world.store.read(|view| view.list_volume_pauses()).await? {
        if world.backups.find(pause.run).is_some() {
            continue;
        }
        match let_go_on(world, &pause.container).await {
            Ok(_) => {
                tracing::warn!(task = %pause.container, run = %pause.run, "a task that a backup had paused goes on")
            }
            Err(error) => {
                tracing::error!(task = %pause.container, error = %chain(&error), "a task is paused and could not be let go on; trying again");
                is_done = false;
            }
        }
    }
    Ok(is_done)
}

/// Lets go on what a run has paused and did not come to its end with.
pub(super) async fn give_up(world: &World, run: BackupRunId) -> Result<(), PauseError> {
    for pause in of_run(world, run).await? {
        let_go_on(world, &pause.container).await?;
    }
    Ok(())
}

async fn of_run(world: &World, run: BackupRunId) -> Result<Vec<VolumePause>, StoreError> {
    let mut pauses = world.store.read(|view| view.list_volume_pauses()).await?;
    pauses.retain(|pause| pause.run == run);
    Ok(pauses)
}

async fn let_go_on(world: &World, container: &str) -> Result<bool, PauseError> {
    let was_paused = match world.engine.unpause(container).await {
        // Somebody else has that name now.
        Err(EngineError::Foreign { .. }) => false,
        answer => answer?,
    };
    let name = container.to_owned();
    let forget = move |tx: &mut havre_store::Tx<'_>| tx.forget_volume_pause(&name);
    world.store.write(world.now(), Actor::Havre, forget).await?;
    Ok(was_paused)
}

/// Tasks of a service that run now and have its volumes.
async fn running(
    world: &World,
    service: ServiceId,
    run: BackupRunId,
) -> Result<Vec<VolumePause>, EngineError> {
    let tasks = world.engine.list_tasks().await?;
    let tasks = tasks.into_iter().filter(|task| task.service == service);
    let tasks = tasks.filter(|task| matches!(task.state, EngineState::Running { .. }));
    Ok(tasks
        .filter_map(|task| {
            let id = match task.purpose {
                Purpose::Task { task } => Some(task),
                Purpose::OneOff { .. } => None,
                // None of these has a volume of a service.
                Purpose::ReleaseCommand { .. }
                | Purpose::Job { .. }
                | Purpose::Test { .. }
                | Purpose::TestDatabase { .. }
                | Purpose::Database { .. }
                | Purpose::Drill { .. }
                | Purpose::Recovery { .. } => return None,
            };
            Some(VolumePause { container: task.name, service, task: id, run })
        })
        .collect())
}
