//! Executes the step of one copy and stores what follows. Whatever decides something is in `havre_core::copy`.

use havre_core::copy::state::{FailureReason, Outcome, Report, State};
use havre_core::database::Database;
use havre_core::event::Actor;
use havre_decide::copy::plan::{ATTEMPTS_MAX, Step, ended};
use havre_decide::copy::sql::{LIST, MAINTENANCE, drop_before, reopen, swap, undo};
use havre_reconcile::deployment::chain;
use havre_reconcile::service::record_waiting;
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::Subject;
use super::program::{Trouble, say};
use super::rows::{self, Ends};
use crate::world::World;

/// Does it; what went wrong in words, where it is worth another try.
pub(super) async fn execute(
    world: &World,
    subject: &Subject,
    step: Step,
    cancel: &CancellationToken,
) -> Result<(), String> {
    match step {
        Step::Copy => copy(world, subject, cancel).await,
        Step::Swap => put_in_place(world, subject).await,
        Step::Undo => take_away(world, subject).await,
    }
}

/// Replaces the state the step was planned from.
pub(super) async fn store(world: &World, subject: &Subject, to: State) -> Result<(), String> {
    let (id, from) = (subject.copy.id, subject.copy.state.clone());
    match world.store.write(world.now(), Actor::Havre, move |tx| tx.set_copy_state(id, &from, to)).await {
        // Somebody changed the row meanwhile; the next round plans from what is there now.
        Ok(()) | Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(chain(&error)),
    }
}

async fn copy(world: &World, subject: &Subject, cancel: &CancellationToken) -> Result<(), String> {
    let (Some(source), Some(target)) = (&subject.source, &subject.target) else { return Ok(()) };
    let id = subject.copy.id;
    let begun = world.store.write(world.now(), Actor::Havre, move |tx| tx.begin_copy_attempt(id)).await;
    let attempt = match begun {
        Ok(attempt) => attempt,
        Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(chain(&error)),
    };
    let ends = Ends { copy: &subject.copy, source, target };
    // Dropped in the middle, its programs lose their streams; what undoes it ends them.
    let copied = tokio::select! {
        copied = rows::copy(world, &ends) => Some(copied),
        () = cancel.cancelled() => None,
    };
    if copied.is_none() && world.copies.is_stopping() {
        return Ok(());
    }
    end(world, subject, copied, attempt >= ATTEMPTS_MAX).await
}

/// Stores how an attempt ended; `None` where it was cancelled.
pub(super) async fn end(
    world: &World,
    subject: &Subject,
    copied: Option<Result<Report, Trouble>>,
    is_last: bool,
) -> Result<(), String> {
    let since = world.now();
    let failed = |reason: FailureReason| State::Undoing { since, outcome: Outcome::Failed { reason } };
    let next = match copied {
        Some(Ok(report)) => State::Swapping { since, report },
        Some(Err(Trouble::Never(reason))) => failed(reason),
        Some(Err(Trouble::Again(message))) if is_last => failed(FailureReason::GaveUp { message }),
        Some(Err(Trouble::Again(message))) => return Err(message),
        None => State::Undoing { since, outcome: Outcome::Cancelled },
    };
    record_waiting(world, "copy", subject.copy.id.row(), String::new())
        .await
        .map_err(|error| chain(&error))?;
    store(world, subject, next).await
}

/// Renames; what was done before is seen in the names that are there.
async fn put_in_place(world: &World, subject: &Subject) -> Result<(), String> {
    let (Some(target), State::Swapping { report, .. }) = (&subject.target, &subject.copy.state) else {
        return Ok(());
    };
    match swap_in(world, subject, target).await {
        Ok(()) => {
            let (at, report) = (world.now(), report.clone());
            store(world, subject, State::Succeeded { at, report }).await
        }
        Err(Trouble::Again(message)) => Err(message),
        Err(Trouble::Never(reason)) => {
            let outcome = Outcome::Failed { reason };
            store(world, subject, State::Undoing { since: world.now(), outcome }).await
        }
    }
}

async fn swap_in(world: &World, subject: &Subject, target: &Database) -> Result<(), Trouble> {
    let (engine, copy) = (world.engine.as_ref(), &subject.copy);
    let names = rows::names(copy);
    let there = say(engine, target, MAINTENANCE, LIST).await?;
    let has = |name: &str| there.lines().any(|line| line == name);
    if has(&names.fresh) {
        if copy.wish.beside.is_some() && has(&names.becomes) {
            let message = format!("there is a database {} already", names.becomes);
            return Err(Trouble::Never(FailureReason::NotTaken { message }));
        }
        if let Err(trouble) = say(engine, target, MAINTENANCE, &swap(&names)).await {
            let_in(world, target, &reopen(&names)).await;
            return Err(trouble);
        }
    } else if !has(&names.becomes) {
        let message = "the fresh database is gone".to_owned();
        return Err(Trouble::Never(FailureReason::NotTaken { message }));
    }
    if copy.wish.drop_old {
        say(engine, target, MAINTENANCE, &drop_before(&names)).await?;
    }
    Ok(())
}

/// Whatever happened, services get into what they had. Where that fails the next round tries again.
async fn let_in(world: &World, target: &Database, sql: &str) {
    if let Err(trouble) = say(world.engine.as_ref(), target, MAINTENANCE, sql).await {
        tracing::warn!(database = %target.id, ?trouble, "could not let connections into a database again; trying again");
    }
}

async fn take_away(world: &World, subject: &Subject) -> Result<(), String> {
    let (Some(target), State::Undoing { outcome, .. }) = (&subject.target, &subject.copy.state) else {
        return Ok(());
    };
    let names = rows::names(&subject.copy);
    let engine = world.engine.as_ref();
    if let Some(source) = &subject.source {
        // Reads for nobody any more. A source that does not answer has lost it already.
        let stop = havre_decide::copy::sql::stop(subject.copy.id);
        let _ = say(engine, source, MAINTENANCE, &stop).await;
    }
    if let Err(trouble) = say(engine, target, MAINTENANCE, &undo(&names, subject.copy.id)).await {
        return Err(match trouble {
            Trouble::Again(message) => message,
            Trouble::Never(reason) => reason.to_string(),
        });
    }
    if subject.copy.wish.beside.is_none() {
        let_in(world, target, &reopen(&names)).await;
    }
    store(world, subject, ended(outcome, world.now())).await
}
