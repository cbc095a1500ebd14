//! Takes previews down: marks those that go, then again and again asks for everything of them to go until nothing is left. Services, routes,
//! networks and volumes are taken down by the loops they belong to, as after `havre destroy`. Every step may run twice.
//! Tests: `tests/it/preview.rs`.

use havre_core::build::State as BuildState;
use havre_core::event::Actor;
use havre_core::id::EnvironmentId;
use havre_core::pipeline::{Pipeline, State as PipelineState};
use havre_core::preview::{CloseReason, Preview, State};
use havre_core::task::spec::environment_network;
use havre_decide::preview::plan::expired;
use havre_store::{StoreError, Tx};

use crate::pipeline::{PipelineError, ignore_conflict};
use crate::world::World;

/// Marks every preview to which nothing was pushed for as long as it may stay.
pub(super) async fn expire(world: &World) -> Result<(), StoreError> {
    let now = world.now();
    let rows = world.store.read(|view| view.list_lasting_previews()).await?;
    for preview in expired(&rows, now) {
        let (row, reason) = (preview.clone(), CloseReason::Expired { ttl: preview.ttl });
        let marked = world.store.write(now, Actor::Havre, move |tx| begin(tx, &row, reason)).await;
        ignore_conflict(marked)?;
    }
    Ok(())
}

/// Marks a preview that goes; the rest is done by [`finish`], whatever happens in between.
pub(super) fn begin(tx: &mut Tx<'_>, preview: &Preview, reason: CloseReason) -> Result<(), StoreError> {
    let since = tx.at();
    tx.set_preview_state(preview, State::Closing { since, reason })
}

/// One step towards nothing being left, if it is closing.
pub(super) async fn finish(world: &World, preview: Preview) -> Result<(), PipelineError> {
    let State::Closing { reason, .. } = preview.state.clone() else { return Ok(()) };
    let row = preview.clone();
    match world.store.write(world.now(), Actor::Havre, move |tx| take_down(tx, &row)).await? {
        Left::Services => return Ok(()),
        Left::Environment(id) => {
            // One whose last service went just before a crash still has its network.
            world.engine.remove_network(&environment_network(id)).await?;
            let row = preview.clone();
            world.store.write(world.now(), Actor::Havre, move |tx| forget_environment(tx, &row)).await?;
        }
        Left::Nothing => {}
    }
    world.source.forget_pull(&preview.project, preview.number).await?;
    let at = world.now();
    let to = State::Closed { at, reason };
    let closed = world.store.write(at, Actor::Havre, move |tx| tx.set_preview_state(&preview, to)).await;
    ignore_conflict(closed)?;
    Ok(())
}

/// What is still there of a preview.
enum Left {
    /// Services or databases; they have been asked to go.
    Services,
    /// An environment without either.
    Environment(EnvironmentId),
    Nothing,
}

/// Asks for everything in the environment to go. Pipelines first: one that goes on would make it again.
fn take_down(tx: &mut Tx<'_>, preview: &Preview) -> Result<Left, StoreError> {
    let (at, environment) = (tx.at(), preview.environment());
    for pipeline in tx.list_open_pipelines()? {
        if pipeline.project == preview.project && pipeline.environment == environment {
            cancel(tx, &pipeline)?;
        }
    }
    let Some(found) = tx.find_environment(&preview.project, &environment)? else { return Ok(Left::Nothing) };
    let services = tx.list_environment_services(found.id)?;
    let databases = tx.list_environment_databases(found.id)?;
    if services.is_empty() && databases.is_empty() {
        return Ok(Left::Environment(found.id));
    }
    for service in services {
        tx.request_destroy(service.id, at)?;
    }
    for database in databases {
        tx.request_database_destroy(database.id, at)?;
    }
    Ok(Left::Services)
}

/// Removes the environment, unless the loop of its last service has done so meanwhile.
fn forget_environment(tx: &mut Tx<'_>, preview: &Preview) -> Result<(), StoreError> {
    match tx.find_environment(&preview.project, &preview.environment())? {
        Some(found) => tx.remove_environment(found.id),
        None => Ok(()),
    }
}

fn cancel(tx: &mut Tx<'_>, pipeline: &Pipeline) -> Result<(), StoreError> {
    let at = tx.at();
    for build in tx.list_pipeline_builds(pipeline.id)? {
        if !build.state.is_final() {
            tx.set_build_state(build.id, &build.state, BuildState::Cancelled { at })?;
        }
    }
    tx.set_pipeline_state(pipeline.id, &pipeline.state, PipelineState::Cancelled { at })
}
