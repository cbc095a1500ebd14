//! What happened to runs of jobs.

use serde::{Deserialize, Serialize};

use crate::id::JobRunId;
use crate::job::state::State;
use crate::job::{JobRun, Trigger};
use crate::name::JobName;
use crate::time::Timestamp;

/// A past-tense fact about one run; the subject of the event is its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// It was recorded, waiting or skipped.
    Planned {
        /// The run.
        run: JobRunId,
        /// Its job.
        job: JobName,
        /// Why it exists.
        trigger: Trigger,
        /// The instant it stands for.
        planned_at: Timestamp,
        /// Instants that went by before and that it stands for as well.
        missed: u32,
        /// The state it began in.
        state: State,
    },
    /// It entered a state.
    StateChanged {
        /// The run.
        run: JobRunId,
        /// Its job.
        job: JobName,
        /// Number of its attempt.
        attempt: u32,
        /// The new state.
        to: State,
    },
    /// Somebody asked to cancel it.
    CancelRequested {
        /// The run.
        run: JobRunId,
        /// Its job.
        job: JobName,
    },
}

impl Event {
    /// That a run was recorded.
    pub fn planned(run: &JobRun) -> Self {
        Self::Planned {
            run: run.id,
            job: run.job.clone(),
            trigger: run.trigger,
            planned_at: run.planned_at,
            missed: run.missed,
            state: run.state.clone(),
        }
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Planned { run, job, planned_at, missed, state: State::Skipped { reason, .. }, .. } => {
                write!(f, "job {job}: {run} of {planned_at} skipped{}: {reason}", others(*missed))
            }
            Self::Planned { run, job, trigger: Trigger::Hand, .. } => write!(f, "job {job}: {run} asked for"),
            Self::Planned { run, job, planned_at, missed, .. } => {
                write!(f, "job {job}: {run} of {planned_at} planned{}", others(*missed))
            }
            Self::StateChanged { run, job, attempt, to } => tell_state(f, *run, job, (*attempt, to)),
            Self::CancelRequested { run, job } => write!(f, "job {job}: {run} should be cancelled"),
        }
    }
}

fn others(missed: u32) -> String {
    if missed == 0 { String::new() } else { format!(" (with {missed} missed before it)") }
}

fn tell_state(
    f: &mut std::fmt::Formatter<'_>,
    run: JobRunId,
    job: &JobName,
    (attempt, to): (u32, &State),
) -> std::fmt::Result {
    write!(f, "job {job}: {run} ")?;
    match to {
        State::Waiting { not_before, after: Some(reason) } => {
            write!(f, "failed in attempt {attempt}, the next one is at {not_before}: {reason}")
        }
        State::Failed { reason, .. } => write!(f, "failed: {reason}"),
        State::TimedOut { .. } => f.write_str("did not end in time"),
        State::Skipped { reason, .. } => write!(f, "skipped: {reason}"),
        State::Starting { .. } => write!(f, "is starting (attempt {attempt})"),
        other => write!(f, "is {}", other.name()),
    }
}
