//! The restart matrix of a job: control is killed at every point where it waits for anything, while a run fails once and
//! then succeeds. There is one run of the instant, each attempt has one task, and nothing is left.

use havre_core::id::ServiceId;
use havre_core::quantity::Span;
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_engine::fake::knobs::Operation;
use havre_engine::log::LogSource;
use havre_reconcile::job;
use serde_json::json;

use crate::job::{at, begin, runs, tasks};
use crate::kill::{Killed, incarnation};
use crate::world::{Control, Outside};

/// A run that is due now.
fn prepare() -> (Outside, ServiceId) {
    let outside = Outside::new();
    let id = incarnation(async || begin(&outside, json!({ "retries": 1 })).await.1);
    outside.clock.set(at("03:00:00"));
    (outside, id)
}

/// Running tasks end: the first attempt with an error, the second one well.
async fn tasks_end(outside: &Outside) {
    for task in tasks(outside).await {
        if let (Purpose::Job { attempt, .. }, EngineState::Running { .. }) = (task.purpose, &task.state) {
            outside.engine.print(&task.name, LogSource::Stdout, "at work");
            outside.engine.exit_task(&task.name, if attempt == 1 { 3 } else { 0 });
        }
    }
}

/// Goes on until the run has ended and nothing of it is left.
async fn finish(control: &Control, id: ServiceId) {
    for _ in 0..60 {
        job::activate(&control.world).await.unwrap();
        control.background().await;
        let is_over = runs(control, id).await.first().is_some_and(|run| run.state.is_final());
        if is_over && tasks(&control.outside).await.is_empty() {
            return;
        }
        tasks_end(&control.outside).await;
        control.outside.clock.advance(Span::seconds(2).duration());
    }
    panic!(
        "the run does not end: {:?}; engine: {:?}",
        runs(control, id).await,
        control.outside.engine.done()
    );
}

/// Kills control after so many polls; `false` once it was done before that.
fn run(polls: usize) -> bool {
    let (outside, id) = prepare();
    let was_killed = incarnation(async || {
        let control = outside.control();
        let finish = Killed { future: Box::pin(async { finish(&control, id).await }), polls };
        finish.await.is_none()
    });
    incarnation(async || {
        let control = outside.control();
        finish(&control, id).await;
        let runs = runs(&control, id).await;
        assert_eq!(runs.len(), 1, "killed after {polls} polls: {runs:?}");
        assert_eq!((runs[0].state.name(), runs[0].attempt), ("succeeded", 2), "killed after {polls} polls");
        check_tasks(&outside, polls);
    });
    was_killed
}

/// No task was made again after it had been removed.
fn check_tasks(outside: &Outside, polls: usize) {
    let mut removed = Vec::new();
    let mut made = Vec::new();
    for done in outside.engine.done().into_iter().filter(|done| done.subject.contains("-cleanup-")) {
        match done.operation {
            Operation::EnsureTask => {
                assert!(
                    !removed.contains(&done.subject),
                    "killed after {polls} polls: {} again",
                    done.subject
                );
                made.push(done.subject);
            }
            Operation::RemoveTask => removed.push(done.subject),
            _ => {}
        }
    }
    made.dedup();
    let expected = [1, 2].map(|attempt| format!("havre-j1-{attempt}-cleanup-api-production-dropit"));
    assert_eq!(made, expected, "killed after {polls} polls");
}

#[test]
fn a_run_that_fails_once_and_then_succeeds() {
    let mut polls = 1;
    while run(polls) {
        polls += 1;
    }
    assert!(polls > 20, "only {polls} points were tried; the matrix does not cover a run");
}
