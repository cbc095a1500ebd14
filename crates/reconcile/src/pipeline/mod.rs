//! The pipeline loop: from a moved branch to builds and deployments of every service of its commit. Runs beside the others:
//! a large repository never holds a service back. What follows from a push, and what the next step is, is decided in
//! `havre_core::pipeline`. Tests: `tests/it/pipeline.rs`.

mod advance;
mod checkout;
mod context;
mod fetch;
mod judge;
mod lfs;
pub(crate) mod read;
mod repack;
mod specs;
mod submodule;
mod untouched;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use havre_core::event::Actor;
use havre_core::id::PipelineId;
use havre_core::pipeline::{Pipeline, State};
use havre_core::source::{CommitId, RefName};
use havre_decide::pipeline::plan::queue;
use havre_engine::error::EngineError;
use havre_source::SourceError;
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::preview;
use crate::world::World;

pub(crate) use fetch::{BEHIND_MAX, Fetching, REASON_MAX, find_remote};
pub use fetch::{FetchError, list_host_keys};
pub(crate) use repack::Repacking;

/// Repositories are compared with what was noted this often, in case control ended between a push and its note.
const COMPARE: Duration = Duration::from_secs(600);

/// Pause before an error is met again.
const RETRY: Duration = Duration::from_secs(5);

/// While a fetch waits to be tried again, it is looked at this often: nothing announces that its time has come.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Commits being read in this process.
pub(crate) type CheckingOut = Arc<Mutex<BTreeMap<PipelineId, CancellationToken>>>;

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The store failed.
    #[error("could not read or record pipelines")]
    Store(#[from] StoreError),
    /// A repository cannot be read.
    #[error("could not read a repository")]
    Source(#[from] SourceError),
    /// The network of a preview cannot be removed.
    #[error("could not take a preview down")]
    Engine(#[from] EngineError),
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    if let Err(error) = checkout::clear(&world).await {
        tracing::warn!(%error, "could not remove what interrupted checkouts left");
    }
    let mut changes = world.store.changes();
    let mut compare = world.clock.sleep(COMPARE);
    let mut is_compare_due = true;
    loop {
        let ended = round(&world, is_compare_due).await;
        let failed = ended.is_err();
        let waits = matches!(ended, Ok(true));
        if let Err(error) = ended {
            tracing::warn!(error = %chain(&error), "could not move the pipelines on; trying again");
        }
        is_compare_due &= failed;
        tokio::select! {
            () = stop.cancelled() => break,
            _ = changes.changed() => {}
            () = world.pipelines_wake.notified() => {}
            () = &mut compare => {
                is_compare_due = true;
                compare = world.clock.sleep(COMPARE);
            }
            () = world.clock.sleep(RETRY), if failed => {}
            () = world.clock.sleep(LOOK_AGAIN), if waits => {}
        }
        changes.mark_unchanged();
    }
    // What is being read now is read again after the start.
    for cancel in world.checking_out.lock().expect("no holder panics").values() {
        cancel.cancel();
    }
    fetch::cancel_all(&world);
    repack::cancel(&world);
}

/// Whether a fetch waits for its time.
async fn round(world: &World, is_compare_due: bool) -> Result<bool, PipelineError> {
    if is_compare_due {
        lfs::tidy(world).await;
        notice(world).await?;
    }
    activate(world).await
}

/// Notes every branch and tag that is not where it was last seen. A push notes its own; this finds what a push could not
/// note because control ended before.
///
/// # Errors
/// See [`PipelineError`].
pub async fn notice(world: &World) -> Result<(), PipelineError> {
    for project in world.source.list().await? {
        let there: BTreeMap<RefName, CommitId> = world.source.list_refs(&project).await?;
        let name = project.clone();
        let known = world.store.read(move |view| view.list_refs(&name)).await?;
        let gone: Vec<RefName> =
            known.iter().map(|row| row.reference.clone()).filter(|name| !there.contains_key(name)).collect();
        let is_known = |name: &RefName, commit: &CommitId| {
            known.iter().any(|row| row.reference == *name && row.commit == *commit)
        };
        let moved: Vec<(RefName, CommitId)> =
            there.into_iter().filter(|(name, commit)| !is_known(name, commit)).collect();
        if gone.is_empty() && moved.is_empty() {
            continue;
        }
        world
            .store
            .write(world.now(), Actor::Havre, move |tx| {
                for reference in &gone {
                    tx.note_push(&project, reference, None)?;
                }
                for (reference, commit) in &moved {
                    tx.note_push(&project, reference, Some(commit))?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// One round: fetches what is due, looks at what was announced of pull requests and at what was pushed, begins what is due, moves on what is at work. Whether a fetch waits for
/// its time.
///
/// # Errors
/// See [`PipelineError`]; what was done before stays done.
pub async fn activate(world: &World) -> Result<bool, PipelineError> {
    let mut waits = fetch::activate(world).await?;
    // One that cannot be looked at now holds up no other.
    let mut failed = None;
    match preview::activate(world).await {
        Ok(more) => waits |= more,
        Err(error) => failed = Some(error),
    }
    for row in world.store.read(|view| view.list_unjudged_refs()).await? {
        if let Err(error) = judge::judge(world, &row).await {
            failed = Some(error);
        }
    }
    let open = world.store.read(|view| view.list_open_pipelines()).await?;
    cancel_closed(world, &open);
    let chosen = queue(&open);
    let now = world.now();
    for (id, by) in chosen.supersede {
        set_state(world, &open, id, State::Superseded { at: now, by }).await?;
    }
    for id in chosen.begin {
        set_state(world, &open, id, State::CheckingOut { since: now }).await?;
    }
    for pipeline in world.store.read(|view| view.list_open_pipelines()).await? {
        match pipeline.state {
            State::CheckingOut { .. } => checkout::start(world, pipeline),
            State::Testing { .. } | State::Building { .. } | State::Deploying { .. } => {
                advance::advance(world, pipeline).await?;
            }
            _ => {}
        }
    }
    repack::activate(world).await?;
    failed.map_or(Ok(waits), Err)
}

/// A checkout whose pipeline was closed by somebody else is told to stop.
fn cancel_closed(world: &World, open: &[Pipeline]) {
    for (id, cancel) in world.checking_out.lock().expect("no holder panics").iter() {
        let is_wanted = |one: &Pipeline| one.id == *id && matches!(one.state, State::CheckingOut { .. });
        if !open.iter().any(is_wanted) {
            cancel.cancel();
        }
    }
}

async fn set_state(world: &World, open: &[Pipeline], id: PipelineId, to: State) -> Result<(), StoreError> {
    let Some(pipeline) = open.iter().find(|pipeline| pipeline.id == id) else { return Ok(()) };
    let from = pipeline.state.clone();
    let stored =
        world.store.write(world.now(), Actor::Havre, move |tx| tx.set_pipeline_state(id, &from, to)).await;
    ignore_conflict(stored)
}

/// Somebody closed the row meanwhile: nothing is recorded over it.
pub(crate) fn ignore_conflict(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(()),
        other => other,
    }
}
