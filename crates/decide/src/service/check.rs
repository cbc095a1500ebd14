//! Laws no plan may break, whoever made it. A plan that fails is not executed. Tests: property tests in
//! `tests/it/laws.rs`.

use crate::service::seen::{Seen, SeenTask};
use crate::service::step::Step;
use havre_core::id::TaskId;
use havre_core::route::Health;
use havre_core::service::spec::Strategy;
use havre_core::task::EngineState;
use havre_core::time::Timestamp;

/// A law a plan would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A step names a task that is not in the rows of this service.
    Foreign {
        /// Which.
        task: TaskId,
    },
    /// A task that may still get requests would be stopped or removed.
    InTable {
        /// Which.
        task: TaskId,
    },
    /// Users would be left without a healthy upstream.
    LastHealthy {
        /// Which task is the last one.
        task: TaskId,
    },
    /// Two tasks would write to one volume.
    TwoWriters {
        /// The second one.
        task: TaskId,
    },
    /// A release without a healthy task would go live.
    NothingHealthy,
    /// A deployment that is over would act.
    Over,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Foreign { task } => write!(f, "{task} is not a task of this service"),
            Self::InTable { task } => write!(f, "{task} may still get requests and must drain first"),
            Self::LastHealthy { task } => write!(f, "{task} is the last healthy task of a live release"),
            Self::TwoWriters { task } => write!(f, "{task} would write to a volume another task uses"),
            Self::NothingHealthy => f.write_str("a release without a healthy task must not go live"),
            Self::Over => f.write_str("a deployment that is over must not act"),
        }
    }
}

/// Lists the laws these steps would break.
pub fn check(steps: &[Step], seen: &Seen, now: Timestamp) -> Vec<Violation> {
    let mut violations = Vec::new();
    let drained: Vec<TaskId> = steps.iter().filter_map(drained_task).collect();
    for step in steps {
        let Some(id) = named_task(step) else {
            if let Step::GoLive { deployment } = step {
                violations.extend(check_go_live(seen, *deployment, now));
            }
            continue;
        };
        let Some(task) = seen.task(id) else {
            violations.push(Violation::Foreign { task: id });
            continue;
        };
        let violation = match step {
            Step::StopTask { .. } => check_stop(task),
            Step::RemoveTask { .. } => check_remove(task),
            Step::DrainTask { .. } => check_drain(task, seen, &drained, now),
            Step::StartTask { .. } => check_start(task, seen),
            _ => None,
        };
        violations.extend(violation);
    }
    violations
}

fn named_task(step: &Step) -> Option<TaskId> {
    match step {
        Step::StartTask { task }
        | Step::ProveTask { task }
        | Step::MarkUnhealthy { task, .. }
        | Step::MarkRecovered { task }
        | Step::DrainTask { task, .. }
        | Step::StopTask { task }
        | Step::RecordExit { task, .. }
        | Step::RemoveTask { task } => Some(*task),
        _ => None,
    }
}

fn drained_task(step: &Step) -> Option<TaskId> {
    match step {
        Step::DrainTask { task, .. } => Some(*task),
        _ => None,
    }
}

fn is_over(task: &SeenTask) -> bool {
    matches!(task.engine, EngineState::Exited { .. } | EngineState::Absent)
}

fn check_stop(task: &SeenTask) -> Option<Violation> {
    task.task.wanted.is_run().then_some(Violation::InTable { task: task.task.id })
}

fn check_remove(task: &SeenTask) -> Option<Violation> {
    let never_ran = matches!(task.engine, EngineState::Created) && !task.task.wanted.is_run();
    (!is_over(task) && !never_ran).then_some(Violation::InTable { task: task.task.id })
}

/// Certainly serving: by every edge's word.
fn serves(task: &SeenTask, seen: &Seen, now: Timestamp) -> bool {
    seen.may_serve(task, now) && seen.health(task, now) == Health::Healthy
}

fn check_drain(task: &SeenTask, seen: &Seen, drained: &[TaskId], now: Timestamp) -> Option<Violation> {
    let allowed = seen.service.destroyed_at.is_some()
        || seen.service.replicas == 0
        || seen.strategy() == Strategy::Recreate
        || !seen.may_serve(task, now);
    let another =
        || seen.tasks.iter().any(|other| serves(other, seen, now) && !drained.contains(&other.task.id));
    (!allowed && !another()).then_some(Violation::LastHealthy { task: task.task.id })
}

fn check_start(task: &SeenTask, seen: &Seen) -> Option<Violation> {
    let writes = |task: &SeenTask| {
        seen.releases.get(&task.task.release).is_some_and(|r| r.spec.strategy() == Strategy::Recreate)
    };
    let other_writer = |other: &&SeenTask| {
        other.task.id != task.task.id && writes(other) && matches!(other.engine, EngineState::Running { .. })
    };
    (writes(task) && seen.tasks.iter().any(|other| other_writer(&other)))
        .then_some(Violation::TwoWriters { task: task.task.id })
}

fn check_go_live(seen: &Seen, deployment: havre_core::id::DeploymentId, now: Timestamp) -> Option<Violation> {
    let Some(deployment) = seen.open.iter().find(|open| open.id == deployment) else {
        return Some(Violation::Over);
    };
    let release = seen.releases.get(&deployment.release)?;
    let needs_tasks = release.spec.tasks().is_some_and(|work| work.replicas > 0);
    let healthy = seen.running(release.id).any(|task| seen.health(task, now) == Health::Healthy);
    (needs_tasks && !healthy).then_some(Violation::NothingHealthy)
}
