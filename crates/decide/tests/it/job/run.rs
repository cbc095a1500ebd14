//! What a run needs next.

use havre_core::id::ReleaseId;
use havre_core::job::state::{FailureReason, SkipReason, State, StopReason};
use havre_core::task::{EngineState, Healthcheck};
use havre_core::time::Timestamp;
use havre_decide::job::plan::{Blocker, Next, RunPlan, RunSeen, START_TIMEOUT, Step, not_started, plan_run};
use serde_json::json;

use super::{at, job, run};

const RUNNING: EngineState = EngineState::Running { healthcheck: Healthcheck::None };

fn exited(code: i64) -> EngineState {
    EngineState::Exited { code, out_of_memory: false }
}

/// A run of a job with two further attempts.
fn seen(attempt: u32, state: State, task: EngineState) -> RunSeen {
    RunSeen {
        run: run(attempt, state),
        spec: Some(job(json!({ "retries": 2, "timeout": "10m" }))),
        live: Some(ReleaseId::new(2)),
        is_destroyed: false,
        task,
        has_leftover: false,
    }
}

fn waiting() -> State {
    State::Waiting { not_before: at("03:00:00"), after: None }
}

fn starting() -> State {
    State::Starting { since: at("03:00:00") }
}

fn running() -> State {
    State::Running { since: at("03:00:00") }
}

fn next(state: State) -> RunPlan {
    RunPlan { next: Some(Next::State(state)), ..RunPlan::default() }
}

fn kept(state: State) -> RunPlan {
    RunPlan { steps: vec![Step::KeepLog], ..next(state) }
}

fn step(step: Step) -> RunPlan {
    RunPlan { steps: vec![step], ..RunPlan::default() }
}

fn again(reason: FailureReason, until: Timestamp) -> State {
    State::Waiting { not_before: until, after: Some(reason) }
}

#[test]
fn from_waiting_to_its_end() {
    let now = at("03:00:01");
    let attempt = RunPlan { next: Some(Next::Attempt { release: ReleaseId::new(2) }), ..RunPlan::default() };
    assert_eq!(plan_run(&seen(0, waiting(), EngineState::Absent), now), attempt);
    for task in [EngineState::Absent, EngineState::Created] {
        assert_eq!(plan_run(&seen(1, starting(), task), now), step(Step::StartTask));
    }
    assert_eq!(plan_run(&seen(1, starting(), RUNNING), now), next(State::Running { since: now }));
    let until = RunPlan { look_again_at: Some(at("03:10:00")), ..RunPlan::default() };
    assert_eq!(plan_run(&seen(1, running(), RUNNING), now), until);
    for state in [starting(), running()] {
        assert_eq!(plan_run(&seen(1, state, exited(0)), now), kept(State::Succeeded { at: now }));
    }
    for state in [State::Succeeded { at: now }, State::Cancelled { at: now }, State::TimedOut { at: now }] {
        assert_eq!(plan_run(&seen(1, state, RUNNING), now), RunPlan::default(), "nothing changes any more");
    }
}

#[test]
fn a_failed_attempt_is_followed_by_others_with_growing_pauses() {
    let now = at("03:05:00");
    let failed = || FailureReason::Exited { exit: 3, out_of_memory: false };
    assert_eq!(plan_run(&seen(1, running(), exited(3)), now), kept(again(failed(), at("03:05:10"))));
    assert_eq!(plan_run(&seen(2, running(), exited(3)), now), kept(again(failed(), at("03:05:30"))));
    let last = State::Failed { at: now, reason: failed() };
    assert_eq!(plan_run(&seen(3, running(), exited(3)), now), kept(last));

    let paused = seen(1, again(failed(), at("03:05:10")), EngineState::Absent);
    let blocker = Blocker::BackOff { until: at("03:05:10"), reason: failed() };
    let wait =
        RunPlan { waiting_on: vec![blocker], look_again_at: Some(at("03:05:10")), ..RunPlan::default() };
    assert_eq!(plan_run(&paused, now), wait);
    let attempt = RunPlan { next: Some(Next::Attempt { release: ReleaseId::new(2) }), ..RunPlan::default() };
    assert_eq!(plan_run(&paused, at("03:05:10")), attempt);
    assert_eq!(plan_run(&paused, at("01:00:00")), attempt, "a clock that jumped back holds nothing up");
}

#[test]
fn no_attempt_begins_beside_the_task_of_another() {
    let mut seen = seen(0, waiting(), EngineState::Absent);
    seen.has_leftover = true;
    let wait = RunPlan { waiting_on: vec![Blocker::Leftover], ..RunPlan::default() };
    assert_eq!(plan_run(&seen, at("03:00:01")), wait);
}

#[test]
fn a_run_that_takes_too_long_is_stopped() {
    let now = at("03:10:00");
    let stopping = State::Stopping { since: now, why: StopReason::TimedOut };
    assert_eq!(plan_run(&seen(3, running(), RUNNING), now), next(stopping.clone()));
    assert_eq!(plan_run(&seen(3, stopping.clone(), RUNNING), now), step(Step::StopTask));
    let later = at("03:10:08");
    assert_eq!(plan_run(&seen(3, stopping.clone(), exited(143)), later), kept(State::TimedOut { at: later }));
    let retried = again(FailureReason::TimedOut, at("03:10:18"));
    assert_eq!(plan_run(&seen(1, stopping.clone(), exited(0)), later), kept(retried));
    assert_eq!(plan_run(&seen(3, stopping, EngineState::Absent), later), next(State::TimedOut { at: later }));
}

#[test]
fn a_run_that_somebody_cancels_ends_from_wherever_it_is() {
    let now = at("03:01:00");
    let cancel = |state: State, task: EngineState| {
        let mut asked = seen(1, state.clone(), task.clone());
        asked.run.cancel_requested = true;
        let mut gone = seen(1, state, task);
        gone.is_destroyed = true;
        let plan = plan_run(&asked, now);
        assert_eq!(plan_run(&gone, now), plan, "a service that goes takes its runs along");
        plan
    };
    let cancelled = || State::Cancelled { at: now };
    let stopping = State::Stopping { since: now, why: StopReason::Cancelled };
    assert_eq!(cancel(waiting(), EngineState::Absent), next(cancelled()));
    assert_eq!(cancel(starting(), EngineState::Absent), next(cancelled()));
    assert_eq!(cancel(starting(), EngineState::Created), next(cancelled()));
    assert_eq!(cancel(starting(), RUNNING), next(State::Running { since: now }));
    assert_eq!(cancel(running(), RUNNING), next(stopping.clone()));
    assert_eq!(cancel(stopping.clone(), RUNNING), step(Step::StopTask));
    assert_eq!(cancel(stopping, exited(143)), kept(cancelled()));
    assert_eq!(cancel(running(), exited(1)), kept(cancelled()), "no further attempt");
    assert_eq!(cancel(running(), exited(0)), kept(State::Succeeded { at: now }), "what is done is done");
}

#[test]
fn a_task_that_somebody_removed_is_not_started_again_unasked() {
    let now = at("03:01:00");
    let lost = again(FailureReason::Lost, at("03:01:10"));
    assert_eq!(plan_run(&seen(1, running(), EngineState::Absent), now), next(lost));
    let last = State::Failed { at: now, reason: FailureReason::Lost };
    assert_eq!(plan_run(&seen(3, running(), EngineState::Absent), now), next(last));
}

#[test]
fn without_a_live_release_nothing_begins() {
    let now = at("03:01:00");
    let mut first = seen(0, waiting(), EngineState::Absent);
    first.live = None;
    let skipped = State::Skipped { at: now, reason: SkipReason::NoRelease };
    assert_eq!(plan_run(&first, now), next(skipped));
    let mut second = seen(1, again(FailureReason::TimedOut, at("03:01:10")), EngineState::Absent);
    second.live = None;
    assert_eq!(plan_run(&second, now), next(State::TimedOut { at: now }), "why it failed is not forgotten");
}

#[test]
fn a_task_that_cannot_be_started_is_given_up_in_time() {
    let starting = seen(1, starting(), EngineState::Absent);
    let message = || "no space left".to_owned();
    let reason = FailureReason::NotStarted { message: message() };
    assert_eq!(not_started(&starting, message(), false, at("03:00:10")), None, "it may pass");
    let soon = at("03:00:10");
    assert_eq!(
        not_started(&starting, message(), true, soon),
        Some(again(reason.clone(), at("03:00:20"))),
        "asking again helps nobody"
    );
    let late = at("03:00:00").after(START_TIMEOUT.duration());
    let expected = again(reason, late.after(std::time::Duration::from_secs(10)));
    assert_eq!(not_started(&starting, message(), false, late), Some(expected));
    assert_eq!(not_started(&seen(1, running(), RUNNING), message(), true, late), None);
}
