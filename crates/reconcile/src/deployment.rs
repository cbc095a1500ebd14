//! The loop of one deployment: plan, check, execute, store the next state. Started by the loop of its service.

use havre_core::deployment::Deployment;
use havre_core::deployment::state::{FailureReason, LinesOf, State};
use havre_core::event::Actor;
use havre_core::task::spec::{command_container, task_container};
use havre_decide::deployment::check::check;
use havre_decide::deployment::plan::{Plan, gives_up, plan};
use havre_decide::service::seen::Seen;
use havre_decide::service::step::Step;
use havre_store::{Environment, StoreError};

use crate::execute::{StepError, execute_all};
use crate::observe::observe_deployment;
use crate::service::{AdvanceError, record_waiting};
use crate::task_log;
use crate::world::World;

/// One round; `true` when something changed.
///
/// # Errors
/// The first thing that failed and may succeed later; a permanent failure ends the deployment instead.
pub async fn advance(
    world: &World,
    seen: &Seen,
    environment: &Environment,
    deployment: &Deployment,
) -> Result<bool, AdvanceError> {
    let observed = observe_deployment(world, seen, deployment).await?;
    let now = world.now();
    let mut plan = plan(deployment, seen, &observed, now);
    if let Some(violation) = check(deployment, &plan, seen, now).first() {
        tracing::error!(deployment = %deployment.id, %violation, "refused to execute a plan that breaks a law");
        let reason = FailureReason::Unlawful { message: violation.to_string() };
        let next = end_state(deployment, now, reason);
        plan = Plan { next: Some(next), ..Plan::default() };
    }
    record(world, deployment, &plan).await?;
    let changed = match execute_all(world, seen, environment, &plan.steps).await {
        Ok(changed) => changed,
        Err((step, error)) if error.is_permanent() || gives_up(deployment, now) => {
            let next = end_state(deployment, world.now(), failure(&step, &error));
            return store_next(world, seen, deployment, next).await;
        }
        Err((_, error)) => {
            let text = format!("will try again: {}", chain(&error));
            record_waiting(world, "deployment", deployment.id.row(), text).await?;
            return Err(error.into());
        }
    };
    match plan.next {
        Some(next) => store_next(world, seen, deployment, next).await,
        None => Ok(changed),
    }
}

/// After the switch a failure goes back first.
fn end_state(deployment: &Deployment, now: havre_core::time::Timestamp, reason: FailureReason) -> State {
    match deployment.state {
        State::Switching { .. } | State::Baking { .. } => State::Reverting { since: now, reason },
        _ => State::Failed { at: now, reason },
    }
}

fn failure(step: &Step, error: &StepError) -> FailureReason {
    let message = chain(error);
    match step {
        Step::StartTask { task } => FailureReason::TaskNotStarted { task: *task, message },
        _ => FailureReason::NotPrepared { message },
    }
}

/// The error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

async fn store_next(
    world: &World,
    seen: &Seen,
    deployment: &Deployment,
    next: State,
) -> Result<bool, AdvanceError> {
    let next = with_lines(world, seen, deployment, next).await;
    let (id, from) = (deployment.id, deployment.state.clone());
    let stored = world
        .store
        .write(world.now(), Actor::Havre, move |tx| tx.set_deployment_state(id, &from, next))
        .await;
    match stored {
        Ok(()) => Ok(true),
        // Somebody changed it meanwhile; the next round plans from what is there now.
        Err(StoreError::Conflict { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Adds the last log lines a failure wants.
async fn with_lines(world: &World, seen: &Seen, deployment: &Deployment, next: State) -> State {
    let (State::Failed { reason, .. } | State::Reverting { reason, .. }) = &next else { return next };
    let place = &seen.service.place;
    let container = match reason.wants_lines_of() {
        Some(LinesOf::Task(task)) => task_container(place, deployment.release, task),
        Some(LinesOf::Command) => command_container(place, deployment.id),
        None => return next,
    };
    let lines = task_log::last_lines(world, &container, deployment.release, 20).await;
    match next {
        State::Failed { at, reason } => State::Failed { at, reason: reason.with_lines(lines) },
        State::Reverting { since, reason } => State::Reverting { since, reason: reason.with_lines(lines) },
        other => other,
    }
}

async fn record(world: &World, deployment: &Deployment, plan: &Plan) -> Result<(), StoreError> {
    let text: Vec<String> = plan.waiting_on.iter().map(ToString::to_string).collect();
    record_waiting(world, "deployment", deployment.id.row(), text.join("; ")).await
}
