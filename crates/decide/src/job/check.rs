//! Laws no plan of a job may break, whoever made it. A plan that fails is not executed. Tests: `tests/it/job/laws.rs`.

use crate::job::plan::{Next, RunPlan, RunSeen, SchedulePlan, Seen, Step};
use havre_core::id::JobRunId;
use havre_core::job::state::State;
use havre_core::task::EngineState;
use havre_core::time::Timestamp;

/// A law a plan would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Two runs of one job would be open at once.
    Overlap {
        /// The one that is.
        run: JobRunId,
    },
    /// An instant would have a second run.
    Twice {
        /// Which.
        planned_at: Timestamp,
    },
    /// A run would begin before its time.
    TooEarly {
        /// Its time.
        planned_at: Timestamp,
    },
    /// A run would have two tasks at once.
    TwoTasks {
        /// Which.
        run: JobRunId,
    },
    /// A run would have more attempts than its job allows.
    TooOften {
        /// Which.
        run: JobRunId,
    },
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Overlap { run } => write!(f, "{run} of the same job has not ended"),
            Self::Twice { planned_at } => write!(f, "{planned_at} has had its run"),
            Self::TooEarly { planned_at } => write!(f, "{planned_at} has not come"),
            Self::TwoTasks { run } => write!(f, "{run} would have two tasks at once"),
            Self::TooOften { run } => write!(f, "{run} has had all its attempts"),
        }
    }
}

/// Lists the laws a plan of a schedule would break.
pub fn check_schedule(plan: &SchedulePlan, seen: &Seen, now: Timestamp) -> Vec<Violation> {
    let Some(planned) = &plan.run else { return Vec::new() };
    let planned_at = planned.planned_at;
    let mut violations = Vec::new();
    if let (Some(run), None) = (seen.open, &planned.skip) {
        violations.push(Violation::Overlap { run });
    }
    let is_known = |cursor: &havre_core::job::Cursor| planned_at <= cursor.until;
    if seen.cursor.as_ref().is_none_or(is_known) {
        violations.push(Violation::Twice { planned_at });
    }
    if planned_at > now {
        violations.push(Violation::TooEarly { planned_at });
    }
    violations
}

/// Lists the laws a plan of a run would break.
pub fn check_run(plan: &RunPlan, seen: &RunSeen) -> Vec<Violation> {
    let run = seen.run.id;
    let mut violations = Vec::new();
    let is_over = matches!(seen.task, EngineState::Absent | EngineState::Exited { .. });
    if plan.steps.contains(&Step::StartTask) && !matches!(seen.run.state, State::Starting { .. }) {
        violations.push(Violation::TwoTasks { run });
    }
    match &plan.next {
        Some(Next::Attempt { .. }) => {
            if !is_over || seen.has_leftover || seen.run.state.has_task() {
                violations.push(Violation::TwoTasks { run });
            }
            let retries = seen.spec.as_ref().map_or(0, |spec| spec.retries);
            if seen.run.attempt > retries {
                violations.push(Violation::TooOften { run });
            }
        }
        // Its task would be forgotten while it is at work.
        Some(Next::State(next)) if !next.has_task() && matches!(seen.task, EngineState::Running { .. }) => {
            violations.push(Violation::TwoTasks { run });
        }
        _ => {}
    }
    violations
}
