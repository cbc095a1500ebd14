//! Everything a plan may look at: rows, what the engine says, what the edges report. Read in one go by `reconcile`,
//! never changed by a plan.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::deployment::Deployment;
use havre_core::id::{DeploymentId, JobRunId, ReleaseId, TaskId};
use havre_core::quantity::Span;
use havre_core::release::Release;
use havre_core::route::{Checks, EdgeView, Health};
use havre_core::service::Service;
use havre_core::service::spec::{ServiceSpec, Strategy};
use havre_core::task::{EngineState, Healthcheck, Task};
use havre_core::time::Timestamp;

/// A worker without a port counts as healthy once it has run this long.
pub const WORKER_PROVING_TIME: Span = Span::seconds(3);

/// The world of one service.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its row.
    pub service: Service,
    /// Its open deployments, oldest first.
    pub open: Vec<Deployment>,
    /// Every release that a task, the service or an open deployment names.
    pub releases: BTreeMap<ReleaseId, Release>,
    /// Its tasks with what the engine says of each.
    pub tasks: Vec<SeenTask>,
    /// Deployments whose release command has a container.
    pub commands: Vec<DeploymentId>,
    /// Runs of jobs that have a container.
    pub jobs: Vec<JobRunId>,
    /// Edges with a fresh report.
    pub edges: Vec<EdgeView>,
    /// Generation of the stored table that was derived from these rows.
    pub generation: u64,
    /// Tasks that ended by themselves lately.
    pub failures: Option<Failures>,
    /// Tasks that are paused while a volume of theirs is read: they answer nobody, and are not ill.
    pub paused: BTreeSet<TaskId>,
}

/// A task with what the engine says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTask {
    /// The row.
    pub task: Task,
    /// The engine's answer.
    pub engine: EngineState,
}

/// Tasks of one service that ended by themselves lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many in a row.
    pub count: u32,
    /// When the last one did.
    pub last: Timestamp,
}

impl Seen {
    /// A task by id.
    pub fn task(&self, id: TaskId) -> Option<&SeenTask> {
        self.tasks.iter().find(|seen| seen.task.id == id)
    }

    /// Wanted tasks of one release, by slot.
    pub fn running(&self, release: ReleaseId) -> impl Iterator<Item = &SeenTask> {
        self.tasks.iter().filter(move |seen| seen.task.release == release && seen.task.wanted.is_run())
    }

    /// Specification of the live release.
    pub fn live_spec(&self) -> Option<&ServiceSpec> {
        self.releases.get(&self.service.live?).map(|release| &release.spec)
    }

    /// Whether two tasks of different releases may run at once.
    pub fn strategy(&self) -> Strategy {
        // A volume in any known release counts: an old writer is as dangerous as a new one.
        let recreate = |release: &Release| release.spec.strategy() == Strategy::Recreate;
        if self.releases.values().any(recreate) { Strategy::Recreate } else { Strategy::BlueGreen }
    }

    /// At least one edge is alive and every one of them uses a table as new as these rows.
    pub fn edges_agree(&self) -> bool {
        !self.edges.is_empty() && self.edges.iter().all(|edge| edge.generation >= self.generation)
    }

    /// What all edges together say of a task; for a task without an address the engine's word counts.
    pub fn health(&self, seen: &SeenTask, now: Timestamp) -> Health {
        match &seen.engine {
            EngineState::Running { healthcheck: Healthcheck::Unhealthy } => {
                return Health::Unhealthy { reason: "the image's own HEALTHCHECK fails".to_owned() };
            }
            EngineState::Running { healthcheck: Healthcheck::Starting } => return Health::Unknown,
            EngineState::Running { .. } => {}
            _ => return Health::Unhealthy { reason: "it is not running".to_owned() },
        }
        if seen.task.address.is_none() {
            let proven = now.since(seen.task.created_at) >= WORKER_PROVING_TIME.duration();
            return if proven { Health::Healthy } else { Health::Unknown };
        }
        let mut all_healthy = !self.edges.is_empty();
        for edge in &self.edges {
            match edge.upstreams.get(&seen.task.id).map(|view| &view.health) {
                Some(Health::Healthy) => {}
                Some(unhealthy @ Health::Unhealthy { .. }) => return unhealthy.clone(),
                Some(Health::Unknown) | None => all_healthy = false,
            }
        }
        if all_healthy { Health::Healthy } else { Health::Unknown }
    }

    /// Whether users may be getting answers from a task: without a word from an edge it is better to believe so.
    pub fn may_serve(&self, seen: &SeenTask, now: Timestamp) -> bool {
        self.service.live == Some(seen.task.release)
            && seen.task.wanted.is_run()
            && seen.task.proven_at.is_some()
            && !matches!(self.health(seen, now), Health::Unhealthy { .. })
    }

    /// Whether all edges say that all of the user's checks passed.
    pub fn checks(&self, task: TaskId) -> Checks {
        let mut all_passed = !self.edges.is_empty();
        for edge in &self.edges {
            match edge.upstreams.get(&task).map(|view| &view.checks) {
                Some(Checks::Passed) => {}
                Some(failed @ Checks::Failed { .. }) => return failed.clone(),
                Some(Checks::Pending) | None => all_passed = false,
            }
        }
        if all_passed { Checks::Passed } else { Checks::Pending }
    }

    /// Requests that use a task now; `None` while some edge may still send it new ones or none reports.
    pub fn in_flight(&self, task: &Task) -> Option<u64> {
        if task.address.is_none() {
            return Some(0);
        }
        if !self.edges_agree() {
            return None;
        }
        Some(self.edges.iter().filter_map(|e| e.upstreams.get(&task.id)).map(|view| view.in_flight).sum())
    }

    /// Requests and errors of all tasks of a release since they came.
    pub fn traffic(&self, release: ReleaseId) -> (u64, u64) {
        let mut total = (0, 0);
        for seen in self.tasks.iter().filter(|seen| seen.task.release == release) {
            for view in self.edges.iter().filter_map(|edge| edge.upstreams.get(&seen.task.id)) {
                total = (total.0 + view.requests, total.1 + view.errors);
            }
        }
        total
    }

    /// Releases that should have tasks: the live one, those of open deployments, and the one a deployment in the
    /// middle of its switch can still go back to.
    pub fn wants_tasks_of(&self, release: ReleaseId) -> bool {
        if self.service.destroyed_at.is_some() {
            return false;
        }
        self.service.live == Some(release)
            || self.open.iter().any(|deployment| {
                deployment.state.wants_tasks()
                    && (deployment.release == release || deployment.previous == Some(release))
            })
    }

    /// An open deployment is replacing the tasks of the live release one writer at a time.
    pub fn is_recreating(&self) -> Option<DeploymentId> {
        let recreates = |deployment: &&Deployment| {
            deployment.state.wants_tasks() && self.service.live != Some(deployment.release)
        };
        if self.strategy() == Strategy::BlueGreen {
            return None;
        }
        self.open.iter().find(recreates).map(|deployment| deployment.id)
    }
}
