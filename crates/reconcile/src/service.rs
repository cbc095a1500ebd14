//! The loop of one service: keeps the live release as specified, then moves every open deployment on, until neither
//! has anything to do.

use havre_core::id::ServiceId;
use havre_decide::service::check::check;
use havre_decide::service::plan::{Plan, plan};
use havre_store::StoreError;

use crate::deployment;
use crate::execute::{StepError, execute_all};
use crate::observe::{ObserveError, observe};
use crate::world::World;

/// Rounds of one activation; far above what any plan needs, so reaching it is a bug and is said loudly.
const ROUNDS: usize = 200;

/// Why a service could not be moved on.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The world could not be read.
    #[error("observe the service")]
    Observe(#[from] ObserveError),
    /// A step failed.
    #[error("execute a step")]
    Step(#[from] StepError),
    /// The store failed.
    #[error("record the result")]
    Store(#[from] StoreError),
}

/// Moves one service on until nothing more can be done now.
///
/// # Errors
/// The first thing that failed; the next activation starts from the store again.
pub async fn advance(world: &World, id: ServiceId) -> Result<(), AdvanceError> {
    for _ in 0..ROUNDS {
        if !advance_once(world, id).await? {
            return Ok(());
        }
    }
    tracing::error!(service = %id, "a service did not come to rest in {ROUNDS} rounds; this is a bug in a plan");
    Ok(())
}

/// One round; `true` when something changed and another round may find more to do.
///
/// # Errors
/// As [`advance`].
pub async fn advance_once(world: &World, id: ServiceId) -> Result<bool, AdvanceError> {
    let exists = world.store.read(move |view| view.has_service(id)).await?;
    if !exists {
        return Ok(false);
    }
    let (seen, environment) = observe(world, id).await?;
    let now = world.now();
    let plan = plan(&seen, now);
    let violations = check(&plan.steps, &seen, now);
    record(world, id, &plan).await?;
    if let Some(violation) = violations.first() {
        tracing::error!(service = %id, %violation, "refused to execute a plan that breaks a law");
        return Ok(false);
    }
    let done = execute_all(world, &seen, &environment, &plan.steps).await;
    let mut changed = done.map_err(|(_, error)| error)?;
    if changed {
        return Ok(true);
    }
    for open in &seen.open {
        changed |= deployment::advance(world, &seen, &environment, open).await?;
    }
    Ok(changed)
}

/// Makes what is being done, and what is waited for, readable.
async fn record(world: &World, id: ServiceId, plan: &Plan) -> Result<(), StoreError> {
    let text: Vec<String> = plan.waiting_on.iter().map(ToString::to_string).collect();
    record_waiting(world, "service", id.row(), text.join("; ")).await
}

/// Stores why an item waits, if that changed.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn record_waiting(
    world: &World,
    room: &'static str,
    id: i64,
    text: String,
) -> Result<(), StoreError> {
    let known = world.store.read(move |view| view.waiting(room, id)).await?;
    if known.unwrap_or_default() == text {
        return Ok(());
    }
    world
        .store
        .write(world.now(), havre_core::event::Actor::Havre, move |tx| tx.set_waiting(room, id, &text))
        .await
}
