//! Chooses what runs when: which instants of a schedule get a run, and what a run needs next. Tests: `tests/it/job/plan.rs`,
//! `tests/it/job/laws.rs`.

use serde::{Deserialize, Serialize};

use havre_core::id::{JobRunId, ReleaseId};
use havre_core::job::spec::{JobSpec, Missed};
use havre_core::job::state::{FailureReason, SkipReason, State, StopReason};
use havre_core::job::{Cursor, JobRun};
use havre_core::quantity::Span;
use havre_core::task::EngineState;
use havre_core::time::Timestamp;

/// A run that begins this late is on time: a restart of control or of the machine takes less.
pub const ON_TIME: Span = Span::seconds(300);

/// A clock that stands further than this before the last instant that was dealt with had been wrong then: its instants count
/// again, and only those that have a run are left out. A smaller step back is waited for, so that nothing runs twice.
pub const CLOCK_STEP: Span = Span::seconds(3600);

/// Pauses before the second attempt, the third one…; the last one stays.
pub const BACK_OFF: [Span; 6] = [
    Span::seconds(10),
    Span::seconds(30),
    Span::seconds(60),
    Span::seconds(300),
    Span::seconds(600),
    Span::seconds(1800),
];

/// Longest time an attempt may try to be started: a dead engine or a full disk may pass.
pub const START_TIMEOUT: Span = Span::seconds(600);

/// Instants that are counted one by one; a minute's schedule has as many in sixteen hours.
const COUNTED: u32 = 1000;
/// Where more went by, only those of the last day are looked at.
const LOOKED_BACK: Span = Span::seconds(86_400);

/// What rows say of a job of a live release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// As the live release has it.
    pub spec: JobSpec,
    /// How far its schedule has been dealt with.
    pub cursor: Option<Cursor>,
    /// Its run that has not ended.
    pub open: Option<JobRunId>,
}

/// What to record for a schedule now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SchedulePlan {
    /// In place of the cursor before; `None` leaves that one.
    pub cursor: Option<Cursor>,
    /// A run to record.
    pub run: Option<Planned>,
}

/// A run of a schedule that is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The instant it stands for.
    pub planned_at: Timestamp,
    /// Instants that went by before and that it stands for as well.
    pub missed: u32,
    /// Why it does not begin, where it does not.
    pub skip: Option<SkipReason>,
}

impl SchedulePlan {
    /// There is nothing to record.
    pub const fn is_empty(&self) -> bool {
        self.cursor.is_none() && self.run.is_none()
    }
}

/// Which instants of a schedule get a run now.
pub fn plan_schedule(seen: &Seen, now: Timestamp) -> SchedulePlan {
    let Some(timing) = seen.spec.timing() else { return SchedulePlan::default() };
    let begin = |until: Timestamp| Some(Cursor { timing: timing.clone(), until });
    // A schedule that is new, or another one than before, has missed nothing.
    let Some(cursor) = seen.cursor.as_ref().filter(|cursor| cursor.timing == timing) else {
        return SchedulePlan { cursor: begin(now), run: None };
    };
    if cursor.until > now.after(CLOCK_STEP.duration()) {
        return SchedulePlan { cursor: begin(now), run: None };
    }
    let Some((planned_at, count)) = due(&seen.spec, cursor.until, now) else {
        return SchedulePlan::default();
    };
    let is_late = now.since(planned_at) > ON_TIME.duration();
    let skip = match seen.open {
        Some(run) => Some(SkipReason::Overlap { run }),
        None if is_late && seen.spec.missed == Missed::Skip => Some(SkipReason::Missed),
        None => None,
    };
    let run = Planned { planned_at, missed: count.saturating_sub(1), skip };
    SchedulePlan { cursor: begin(now), run: Some(run) }
}

/// The newest instant behind `after` and up to `now`, and how many there are.
fn due(spec: &JobSpec, after: Timestamp, now: Timestamp) -> Option<(Timestamp, u32)> {
    let mut instants = spec.occurrences(after)?;
    let mut newest = None;
    let mut count: u32 = 0;
    while let Some(at) = instants.next().filter(|at| *at <= now) {
        newest = Some(at);
        count = count.saturating_add(1);
        if count == COUNTED {
            let day = i64::try_from(LOOKED_BACK.as_millis()).unwrap_or(i64::MAX);
            let yesterday = Timestamp::from_millis(now.as_millis().saturating_sub(day));
            instants = spec.occurrences(at.max(yesterday))?;
        }
    }
    newest.map(|at| (at, count))
}

/// The world of one run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSeen {
    /// Its row.
    pub run: JobRun,
    /// Its job as the release of its last attempt has it, or its first one will.
    pub spec: Option<JobSpec>,
    /// The live release, where that has the job; what a further attempt runs.
    pub live: Option<ReleaseId>,
    /// Its service is being destroyed.
    pub is_destroyed: bool,
    /// What the engine says of the task of its last attempt.
    pub task: EngineState,
    /// The engine has another task of a job of this service, which nothing wants any more.
    pub has_leftover: bool,
}

/// What to do for one run now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunPlan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What to store once all steps are done.
    pub next: Option<Next>,
    /// Why there is not more to do.
    pub waiting_on: Vec<Blocker>,
    /// When there will be, if nothing happens before.
    pub look_again_at: Option<Timestamp>,
}

/// One idempotent action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Networks and image are there, and the engine runs the task of the present attempt.
    StartTask,
    /// Stop signal, grace period, SIGKILL.
    StopTask,
    /// The log of the present attempt is kept.
    KeepLog,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// One more attempt, of this release.
    Attempt {
        /// Which release.
        release: ReleaseId,
    },
    /// Another state.
    State(State),
}

/// Why nothing more can be done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "blocker")]
pub enum Blocker {
    /// A pause after a failed attempt.
    BackOff {
        /// Until when.
        until: Timestamp,
        /// Why the attempt failed.
        reason: FailureReason,
    },
    /// An older task of a job of this service is not gone.
    Leftover,
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BackOff { until, reason } => write!(f, "next attempt at {until}: {reason}"),
            Self::Leftover => f.write_str("waits for the task of an earlier run to be gone"),
        }
    }
}

impl RunPlan {
    fn state(state: State) -> Self {
        Self { next: Some(Next::State(state)), ..Self::default() }
    }

    fn wait(blocker: Blocker, look_again_at: Option<Timestamp>) -> Self {
        Self { waiting_on: vec![blocker], look_again_at, ..Self::default() }
    }
}

/// Chooses the steps of a run and its next state.
pub fn plan_run(seen: &RunSeen, now: Timestamp) -> RunPlan {
    match &seen.run.state {
        State::Waiting { not_before, after } => waiting(seen, *not_before, after.as_ref(), now),
        State::Starting { .. } => starting(seen, now),
        State::Running { since } => running(seen, *since, now),
        State::Stopping { why, .. } => stopping(seen, *why, now),
        State::Succeeded { .. }
        | State::Failed { .. }
        | State::TimedOut { .. }
        | State::Cancelled { .. }
        | State::Skipped { .. } => RunPlan::default(),
    }
}

fn is_cancelled(seen: &RunSeen) -> bool {
    seen.run.cancel_requested || seen.is_destroyed
}

fn waiting(seen: &RunSeen, not_before: Timestamp, after: Option<&FailureReason>, now: Timestamp) -> RunPlan {
    if is_cancelled(seen) {
        return RunPlan::state(State::Cancelled { at: now });
    }
    let Some(release) = seen.live else {
        return RunPlan::state(match after {
            Some(reason) => final_state(reason.clone(), now),
            None => State::Skipped { at: now, reason: SkipReason::NoRelease },
        });
    };
    // A clock that jumped back must not hold a run up for longer than the table says.
    let longest = now.after(BACK_OFF[BACK_OFF.len() - 1].duration());
    if let Some(reason) = after
        && now < not_before
        && not_before <= longest
    {
        let blocker = Blocker::BackOff { until: not_before, reason: reason.clone() };
        return RunPlan::wait(blocker, Some(not_before));
    }
    if seen.has_leftover || seen.task != EngineState::Absent {
        return RunPlan::wait(Blocker::Leftover, None);
    }
    RunPlan { next: Some(Next::Attempt { release }), ..RunPlan::default() }
}

fn starting(seen: &RunSeen, now: Timestamp) -> RunPlan {
    match seen.task {
        EngineState::Running { .. } => RunPlan::state(State::Running { since: now }),
        EngineState::Exited { code, out_of_memory } => ended(seen, code, out_of_memory, now),
        EngineState::Absent | EngineState::Created if is_cancelled(seen) => {
            RunPlan::state(State::Cancelled { at: now })
        }
        EngineState::Absent | EngineState::Created => {
            RunPlan { steps: vec![Step::StartTask], ..RunPlan::default() }
        }
    }
}

fn running(seen: &RunSeen, since: Timestamp, now: Timestamp) -> RunPlan {
    let timeout = seen.spec.as_ref().map_or(havre_core::job::spec::TIMEOUT, |spec| spec.timeout);
    match seen.task {
        EngineState::Exited { code, out_of_memory } => ended(seen, code, out_of_memory, now),
        EngineState::Absent | EngineState::Created => {
            RunPlan::state(after_failure(seen, FailureReason::Lost, now))
        }
        EngineState::Running { .. } if is_cancelled(seen) => {
            RunPlan::state(State::Stopping { since: now, why: StopReason::Cancelled })
        }
        EngineState::Running { .. } if now.since(since) >= timeout.duration() => {
            RunPlan::state(State::Stopping { since: now, why: StopReason::TimedOut })
        }
        EngineState::Running { .. } => {
            RunPlan { look_again_at: Some(since.after(timeout.duration())), ..RunPlan::default() }
        }
    }
}

fn stopping(seen: &RunSeen, why: StopReason, now: Timestamp) -> RunPlan {
    if let EngineState::Running { .. } = seen.task {
        return RunPlan { steps: vec![Step::StopTask], ..RunPlan::default() };
    }
    let steps = if seen.task == EngineState::Absent { Vec::new() } else { vec![Step::KeepLog] };
    let next = match why {
        StopReason::Cancelled => State::Cancelled { at: now },
        StopReason::TimedOut => after_failure(seen, FailureReason::TimedOut, now),
    };
    RunPlan { steps, next: Some(Next::State(next)), ..RunPlan::default() }
}

fn ended(seen: &RunSeen, code: i64, out_of_memory: bool, now: Timestamp) -> RunPlan {
    let next = match (code, out_of_memory) {
        (0, false) => State::Succeeded { at: now },
        _ => after_failure(seen, FailureReason::Exited { exit: code, out_of_memory }, now),
    };
    RunPlan { steps: vec![Step::KeepLog], next: Some(Next::State(next)), ..RunPlan::default() }
}

/// One more attempt after a pause, or the end.
fn after_failure(seen: &RunSeen, reason: FailureReason, now: Timestamp) -> State {
    let retries = seen.spec.as_ref().map_or(0, |spec| spec.retries);
    let may_retry = seen.live.is_some() && seen.run.attempt <= retries;
    if is_cancelled(seen) {
        return State::Cancelled { at: now };
    }
    if !may_retry {
        return final_state(reason, now);
    }
    let index = usize::try_from(seen.run.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = BACK_OFF[index.min(BACK_OFF.len() - 1)];
    State::Waiting { not_before: now.after(pause.duration()), after: Some(reason) }
}

fn final_state(reason: FailureReason, at: Timestamp) -> State {
    match reason {
        FailureReason::TimedOut => State::TimedOut { at },
        reason => State::Failed { at, reason },
    }
}

/// What follows from a task that could not be started: `None` to try again, which helps neither where the error is permanent
/// nor for ever.
pub fn not_started(seen: &RunSeen, message: String, is_permanent: bool, now: Timestamp) -> Option<State> {
    let State::Starting { since } = seen.run.state else { return None };
    let gives_up = is_permanent || now.since(since) >= START_TIMEOUT.duration();
    gives_up.then(|| after_failure(seen, FailureReason::NotStarted { message }, now))
}
