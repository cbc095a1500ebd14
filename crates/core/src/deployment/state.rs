//! Where a deployment stands (design section 4). Persisted; each variant holds exactly its data.

use serde::{Deserialize, Serialize};

use crate::id::{DeploymentId, ReleaseId, TaskId};
use crate::time::Timestamp;

/// Where a deployment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Recorded, not begun.
    Pending,
    /// Networks, volumes and the artifact are made ready.
    Preparing {
        /// Since when.
        since: Timestamp,
    },
    /// The release command runs.
    Migrating {
        /// Since when.
        since: Timestamp,
    },
    /// New tasks start; the edges probe them, no user sees them.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// The user's own checks run against the new tasks through the edge.
    Verifying {
        /// Since when.
        since: Timestamp,
    },
    /// Part of the clients gets the new tasks.
    Canary {
        /// Since when.
        since: Timestamp,
        /// When all of them get it.
        until: Timestamp,
    },
    /// The new release is live in rows; edges take the table over and the public listener is asked.
    Switching {
        /// Since when.
        since: Timestamp,
    },
    /// The new release is watched.
    Baking {
        /// Since when.
        since: Timestamp,
        /// When watching ends.
        until: Timestamp,
    },
    /// Old tasks finish what they have in flight.
    Draining {
        /// Since when all users get the new release.
        since: Timestamp,
    },
    /// It failed after the switch: the previous release is live again and edges take that over.
    Reverting {
        /// Since when.
        since: Timestamp,
        /// Why it failed.
        reason: FailureReason,
    },
    /// The release is live, seen through the public listener, and nothing of the old one is left.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// The previous release is live as before (after a switch: again, unless it could not be started any more).
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: FailureReason,
    },
    /// Somebody asked for it; the previous release is live as before.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// A newer deployment took its place.
    Superseded {
        /// When.
        at: Timestamp,
        /// The newer one.
        by: DeploymentId,
    },
}

impl State {
    /// Nothing will change any more.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Cancelled { .. } | Self::Superseded { .. }
        )
    }

    /// Its release should have tasks although it may not be live.
    pub const fn wants_tasks(&self) -> bool {
        matches!(
            self,
            Self::Starting { .. }
                | Self::Verifying { .. }
                | Self::Canary { .. }
                | Self::Switching { .. }
                | Self::Baking { .. }
                | Self::Draining { .. }
                | Self::Reverting { .. }
        )
    }

    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Preparing { .. } => "preparing",
            Self::Migrating { .. } => "migrating",
            Self::Starting { .. } => "starting",
            Self::Verifying { .. } => "verifying",
            Self::Canary { .. } => "canary",
            Self::Switching { .. } => "switching",
            Self::Baking { .. } => "baking",
            Self::Draining { .. } => "draining",
            Self::Reverting { .. } => "reverting",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Superseded { .. } => "superseded",
        }
    }
}

/// Why a deployment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum FailureReason {
    /// A network, volume or the artifact could not be made ready.
    NotPrepared {
        /// What went wrong, for people.
        message: String,
    },
    /// The release command ended with an error.
    ReleaseCommandFailed {
        /// Its exit code.
        exit: i64,
        /// Its last log lines.
        last_lines: Vec<String>,
    },
    /// The release command ran too long.
    ReleaseCommandTimedOut {
        /// Its last log lines.
        last_lines: Vec<String>,
    },
    /// A new task ended before it was healthy.
    TaskExited {
        /// The task.
        task: TaskId,
        /// Its exit code.
        exit: i64,
        /// Killed for using more memory than its limit.
        out_of_memory: bool,
        /// Its last log lines.
        last_lines: Vec<String>,
    },
    /// A new task could not be started.
    TaskNotStarted {
        /// The task.
        task: TaskId,
        /// What went wrong, for people.
        message: String,
    },
    /// A new task never became healthy in time.
    NeverHealthy {
        /// The task.
        task: TaskId,
        /// What its probe last said, for people.
        probe: String,
        /// Its last log lines.
        last_lines: Vec<String>,
    },
    /// A new task that clients were sent to is not healthy any more.
    NotHealthyAnyMore {
        /// The task.
        task: TaskId,
        /// What its probe last said, for people.
        probe: String,
        /// Its last log lines.
        last_lines: Vec<String>,
    },
    /// One of the user's checks did not pass in time.
    CheckFailed {
        /// The task.
        task: TaskId,
        /// Which check and why, for people.
        check: String,
    },
    /// The edges did not take the new table over in time.
    EdgesBehind {
        /// For people.
        message: String,
    },
    /// The public listener did not answer with the new release in time.
    NotSeen {
        /// What it answered instead, for people.
        message: String,
    },
    /// The new release answered worse than the old one while it was watched.
    Worse {
        /// Requests it answered.
        requests: u64,
        /// Errors among them.
        errors: u64,
    },
    /// A plan would have broken a law; a bug of ours, nothing was changed.
    Unlawful {
        /// The law, for people.
        message: String,
    },
    /// The release it should make live does not exist any more, or cannot run.
    ReleaseUnusable {
        /// For people.
        message: String,
        /// The release.
        release: ReleaseId,
    },
}

/// Whose last log lines belong into a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinesOf {
    /// A task.
    Task(TaskId),
    /// The release command of the deployment.
    Command,
}

impl FailureReason {
    /// Whose last log lines are still missing.
    pub fn wants_lines_of(&self) -> Option<LinesOf> {
        match self {
            Self::TaskExited { task, last_lines, .. }
            | Self::NeverHealthy { task, last_lines, .. }
            | Self::NotHealthyAnyMore { task, last_lines, .. } => {
                last_lines.is_empty().then_some(LinesOf::Task(*task))
            }
            Self::ReleaseCommandFailed { last_lines, .. } | Self::ReleaseCommandTimedOut { last_lines } => {
                last_lines.is_empty().then_some(LinesOf::Command)
            }
            _ => None,
        }
    }

    /// The same with log lines.
    #[must_use]
    pub fn with_lines(mut self, lines: Vec<String>) -> Self {
        match &mut self {
            Self::TaskExited { last_lines, .. }
            | Self::NeverHealthy { last_lines, .. }
            | Self::NotHealthyAnyMore { last_lines, .. }
            | Self::ReleaseCommandFailed { last_lines, .. }
            | Self::ReleaseCommandTimedOut { last_lines } => *last_lines = lines,
            _ => {}
        }
        self
    }

    /// Log lines that belong to the failure.
    pub fn last_lines(&self) -> &[String] {
        match self {
            Self::ReleaseCommandFailed { last_lines, .. }
            | Self::ReleaseCommandTimedOut { last_lines }
            | Self::TaskExited { last_lines, .. }
            | Self::NeverHealthy { last_lines, .. }
            | Self::NotHealthyAnyMore { last_lines, .. } => last_lines,
            _ => &[],
        }
    }
}

impl std::fmt::Display for FailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPrepared { message } => write!(f, "could not prepare: {message}"),
            Self::ReleaseCommandFailed { exit, .. } => {
                write!(f, "the release command ended with code {exit}")
            }
            Self::ReleaseCommandTimedOut { .. } => f.write_str("the release command did not end in time"),
            Self::TaskExited { task, out_of_memory: true, .. } => {
                write!(f, "{task} was killed before it was healthy: it used more memory than its limit")
            }
            Self::TaskExited { task, exit, .. } => {
                write!(f, "{task} ended with code {exit} before it was healthy")
            }
            Self::TaskNotStarted { task, message } => write!(f, "{task} could not be started: {message}"),
            Self::NeverHealthy { task, probe, .. } => {
                write!(f, "{task} did not become healthy in time: {probe}")
            }
            Self::NotHealthyAnyMore { task, probe, .. } => {
                write!(f, "{task} became unhealthy while some clients were sent to it: {probe}")
            }
            Self::CheckFailed { task, check } => write!(f, "a check of {task} did not pass: {check}"),
            Self::EdgesBehind { message } => {
                write!(f, "the edge did not take over the new routes: {message}")
            }
            Self::NotSeen { message } => {
                write!(f, "the public listener did not answer with the new release: {message}")
            }
            Self::Worse { requests, errors } => {
                write!(f, "the new release failed {errors} of {requests} requests while it was watched")
            }
            Self::Unlawful { message } => write!(f, "refused a step that would have broken a law: {message}"),
            Self::ReleaseUnusable { release, message } => write!(f, "{release} cannot be used: {message}"),
        }
    }
}
