//! Steps: the idempotent actions a plan consists of. Names, numbers and order are all in the plan; executing one twice
//! changes nothing.

use serde::{Deserialize, Serialize};

use havre_core::id::{DeploymentId, JobRunId, ReleaseId, TaskId};
use havre_core::name::DatabaseName;
use havre_core::task::event::DrainReason;
use havre_core::time::Timestamp;

/// One idempotent action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Every secret of a release has the value that was recorded with it, and it can be opened; values of providers that are not recorded yet
    /// are fetched. Changes nothing else.
    EnsureSecrets {
        /// Which.
        release: ReleaseId,
    },
    /// The environment's private network and `havre-edge` exist.
    EnsureNetworks,
    /// The volumes of a release exist.
    EnsureVolumes {
        /// Which.
        release: ReleaseId,
    },
    /// The artifact of a release is on this machine.
    EnsureArtifact {
        /// Which.
        release: ReleaseId,
    },
    /// The release command of a deployment has been started.
    RunCommand {
        /// Which.
        deployment: DeploymentId,
    },
    /// The release command's container is gone and its output kept.
    RemoveCommand {
        /// Which.
        deployment: DeploymentId,
    },
    /// A row and an address for a new task.
    AllocateTask {
        /// What it will run.
        release: ReleaseId,
        /// Which replica.
        slot: u32,
    },
    /// The engine runs the task.
    StartTask {
        /// Which.
        task: TaskId,
    },
    /// The task is healthy and may get traffic.
    ProveTask {
        /// Which.
        task: TaskId,
    },
    /// The edges call a proven task unhealthy.
    MarkUnhealthy {
        /// Which.
        task: TaskId,
        /// Why, for people.
        reason: String,
    },
    /// The edges call it healthy again.
    MarkRecovered {
        /// Which.
        task: TaskId,
    },
    /// No new requests for the task.
    DrainTask {
        /// Which.
        task: TaskId,
        /// When waiting for requests in flight ends.
        deadline: Timestamp,
        /// The deployment that replaced it.
        by: Option<DeploymentId>,
        /// Why.
        reason: DrainReason,
    },
    /// Stop signal, grace period, SIGKILL.
    StopTask {
        /// Which.
        task: TaskId,
    },
    /// The task ended by itself; say so with its last lines.
    RecordExit {
        /// Which.
        task: TaskId,
        /// Exit code.
        code: i64,
        /// Killed for using more memory than its limit.
        out_of_memory: bool,
    },
    /// Last logs saved, container removed, row and address free.
    RemoveTask {
        /// Which.
        task: TaskId,
    },
    /// The deployment's release is live in rows.
    GoLive {
        /// Which deployment.
        deployment: DeploymentId,
    },
    /// The release before the deployment is live again in rows.
    RevertLive {
        /// Which deployment.
        deployment: DeploymentId,
    },
    /// Volumes and rows of a destroyed service are gone.
    Dismantle,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EnsureSecrets { release } => write!(f, "make sure the secrets of {release} can be opened"),
            Self::EnsureNetworks => f.write_str("make sure the networks exist"),
            Self::EnsureVolumes { release } => write!(f, "make sure the volumes of {release} exist"),
            Self::EnsureArtifact { release } => write!(f, "make sure the artifact of {release} is here"),
            Self::RunCommand { deployment } => write!(f, "run the release command of {deployment}"),
            Self::RemoveCommand { deployment } => write!(f, "remove the release command of {deployment}"),
            Self::AllocateTask { release, slot } => write!(f, "plan a task of {release} as replica {slot}"),
            Self::StartTask { task } => write!(f, "start {task}"),
            Self::ProveTask { task } => write!(f, "let {task} have traffic"),
            Self::MarkUnhealthy { task, reason } => write!(f, "note that {task} is unhealthy: {reason}"),
            Self::MarkRecovered { task } => write!(f, "note that {task} is healthy again"),
            Self::DrainTask { task, deadline, .. } => {
                write!(f, "drain {task} until {deadline} at the latest")
            }
            Self::StopTask { task } => write!(f, "stop {task}"),
            Self::RecordExit { task, code, .. } => write!(f, "note that {task} ended with code {code}"),
            Self::RemoveTask { task } => write!(f, "remove {task}"),
            Self::GoLive { deployment } => write!(f, "make the release of {deployment} live"),
            Self::RevertLive { deployment } => write!(f, "make the release before {deployment} live again"),
            Self::Dismantle => f.write_str("remove the volumes and rows of the destroyed service"),
        }
    }
}

/// Why nothing more can be done yet. Data, so that status, panel and alerts can say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "blocker")]
pub enum Blocker {
    /// An older deployment of the service is not over.
    OlderDeployment {
        /// Which.
        deployment: DeploymentId,
    },
    /// A database it uses lets it in later, or is not there.
    Database {
        /// Which.
        database: DatabaseName,
        /// Why, for people.
        why: String,
    },
    /// The release command runs.
    ReleaseCommand,
    /// A task is not healthy yet.
    TaskNotHealthy {
        /// Which.
        task: TaskId,
        /// What its probe says, for people.
        probe: String,
    },
    /// A check has not passed yet.
    CheckPending {
        /// For people.
        check: String,
    },
    /// No edge reports.
    NoEdge,
    /// Some edge uses an older table.
    EdgesBehind {
        /// The generation that is waited for.
        generation: u64,
    },
    /// The public listener has not answered with the new release yet.
    NotSeen {
        /// What it answered, for people.
        message: String,
    },
    /// Part of the clients gets the new release.
    Canary {
        /// Their share, in percent.
        percent: u8,
        /// Until when.
        until: Timestamp,
    },
    /// The new release is being watched.
    Baking {
        /// Until when.
        until: Timestamp,
    },
    /// Old tasks are not gone yet.
    OldTasks {
        /// Which.
        tasks: Vec<TaskId>,
    },
    /// Runs of jobs of a service that goes are not over yet.
    JobRuns {
        /// Which.
        runs: Vec<JobRunId>,
    },
    /// Requests in flight, or edges that do not report, until the deadline.
    InFlight {
        /// Whose.
        task: TaskId,
        /// How many; `None` when no edge can say.
        requests: Option<u64>,
        /// When waiting ends.
        deadline: Timestamp,
    },
    /// Tasks ended by themselves too often; the next attempt waits.
    BackOff {
        /// Until when.
        until: Timestamp,
    },
    /// Scaling down would take the last healthy task.
    LastHealthy {
        /// The task that stays for now.
        task: TaskId,
    },
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OlderDeployment { deployment } => write!(f, "waits for {deployment} to finish"),
            Self::Database { database, why } => write!(f, "waits for the database {database}: {why}"),
            Self::ReleaseCommand => f.write_str("the release command runs"),
            Self::TaskNotHealthy { task, probe } => write!(f, "{task} is not healthy yet: {probe}"),
            Self::CheckPending { check } => write!(f, "waits for a check: {check}"),
            Self::NoEdge => f.write_str("no edge reports; is `havred edge` running?"),
            Self::EdgesBehind { generation } => write!(f, "waits for every edge to use table {generation}"),
            Self::NotSeen { message } => write!(f, "waits for the public listener: {message}"),
            Self::Canary { percent, until } => {
                write!(f, "{percent} % of the clients get the new release until {until}")
            }
            Self::Baking { until } => write!(f, "watches the new release until {until}"),
            Self::OldTasks { tasks } => {
                let names: Vec<String> = tasks.iter().map(ToString::to_string).collect();
                write!(f, "waits for old tasks to be gone: {}", names.join(", "))
            }
            Self::JobRuns { runs } => {
                let names: Vec<String> = runs.iter().map(ToString::to_string).collect();
                write!(f, "waits for runs of jobs to end: {}", names.join(", "))
            }
            Self::InFlight { task, requests: Some(count), deadline } => {
                write!(f, "{task} has {count} requests in flight, until {deadline} at the latest")
            }
            Self::InFlight { task, requests: None, deadline } => {
                write!(
                    f,
                    "{task} drains (deadline {deadline}); waits for every edge to report the new routes"
                )
            }
            Self::BackOff { until } => write!(f, "tasks ended by themselves; next attempt at {until}"),
            Self::LastHealthy { task } => write!(f, "{task} stays: it is the last healthy task"),
        }
    }
}
