//! Executes the steps of one run and stores what follows. Short, idempotent, no choices; whatever decides something is in
//! `havre_core::job`.

use havre_core::event::Actor;
use havre_core::job::state::State;
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::{derive_job, job_container};
use havre_decide::job::plan::{Next, RunPlan, RunSeen, Step, not_started};
use havre_store::{StoreError, Tx};

use super::{Subject, log};
use crate::deployment::chain;
use crate::execute::{COMMAND_GRACE, Fault};
use crate::prepare;
use crate::service::record_waiting;
use crate::variable;
use crate::world::World;

/// Does all of it; what went wrong in words, where it is worth another try.
pub(super) async fn execute(
    world: &World,
    subject: &Subject,
    seen: &RunSeen,
    plan: RunPlan,
) -> Result<(), String> {
    for step in plan.steps {
        let done = match step {
            Step::StartTask => start_task(world, subject).await,
            Step::StopTask => stop_task(world, subject).await,
            Step::KeepLog => {
                log::save(world, &subject.run, &job_container(&subject.service.place, &subject.run)).await;
                Ok(())
            }
        };
        if let Err(fault) = done {
            return fail(world, subject, seen, fault).await;
        }
    }
    let (id, from) = (subject.run.id, subject.run.state.clone());
    match plan.next {
        None => Ok(()),
        Some(Next::Attempt { release }) => {
            store(world, move |tx| tx.begin_job_attempt(id, &from, release)).await
        }
        Some(Next::State(next)) => set_state(world, subject, next).await,
    }
}

async fn set_state(world: &World, subject: &Subject, next: State) -> Result<(), String> {
    let (id, from) = (subject.run.id, subject.run.state.clone());
    let is_final = next.is_final();
    store(world, move |tx| tx.set_job_run_state(id, &from, next)).await?;
    if is_final {
        log::tidy(world, subject.run.service).await;
    }
    Ok(())
}

async fn store(
    world: &World,
    write: impl FnOnce(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), String> {
    match world.store.write(world.now(), Actor::Havre, write).await {
        // Somebody changed the row meanwhile, or took it away; the next round plans from what is there now.
        Ok(()) | Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(chain(&error)),
    }
}

async fn start_task(world: &World, subject: &Subject) -> Result<(), Fault> {
    let mut spec = derive_job(&subject.service.place, subject.environment.id, &subject.release, &subject.run)
        .ok_or_else(|| Fault::Impossible(format!("{} has no such job", subject.release.id)))?;
    variable::give(world, &subject.release, &mut spec).await?;
    prepare::networks(world, &subject.environment).await?;
    prepare::artifact(world, &subject.release).await?;
    let started = world.engine.ensure_task(&spec).await;
    world.forget_engine();
    Ok(started?)
}

/// Returns once the task has ended.
async fn stop_task(world: &World, subject: &Subject) -> Result<(), Fault> {
    let work = subject.release.spec.tasks();
    let signal = work.map_or(StopSignal::Sigterm, |work| work.stop_signal);
    let grace = work.map_or(COMMAND_GRACE, |work| work.stop_grace.duration());
    let name = job_container(&subject.service.place, &subject.run);
    let stopped = world.engine.stop_task(&name, signal, grace).await;
    world.forget_engine();
    Ok(stopped?)
}

/// Gives the attempt up where nothing else helps; else says why it waits.
async fn fail(world: &World, subject: &Subject, seen: &RunSeen, fault: Fault) -> Result<(), String> {
    let (is_permanent, message) = match fault {
        Fault::Engine(error) => (error.is_permanent(), chain(&error)),
        Fault::Store(error) => (false, chain(&error)),
        Fault::Impossible(message) => (true, message),
        Fault::NotYet(message) => (false, message),
    };
    if let Some(next) = not_started(seen, message.clone(), is_permanent, world.now()) {
        return set_state(world, subject, next).await;
    }
    let text = format!("will try again: {message}");
    record_waiting(world, "job", subject.run.id.row(), text).await.map_err(|error| chain(&error))?;
    Err(message)
}
