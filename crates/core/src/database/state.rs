//! Where a database stands. Persisted; each variant holds exactly its data.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Where a database stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// The engine is asked to start its present task, and may have done so; the server has not answered yet.
    Starting {
        /// Since when.
        since: Timestamp,
        /// Tasks in a row that ended by themselves.
        failures: u32,
    },
    /// The server has answered.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// Its task was told to stop.
    Stopping {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: StopReason,
    },
    /// It has no task; the next one follows.
    Stopped {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: StopReason,
        /// Tasks in a row that ended by themselves.
        failures: u32,
    },
    /// It could not be started; tried again now and then, and when it is changed.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: FailureReason,
    },
    /// Somebody asked for it and its data to go.
    Destroying {
        /// Since when.
        since: Timestamp,
    },
}

impl State {
    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::Stopping { .. } => "stopping",
            Self::Stopped { .. } => "stopped",
            Self::Failed { .. } => "failed",
            Self::Destroying { .. } => "destroying",
        }
    }

    /// The server has answered.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// It is on its way out.
    pub const fn is_destroying(&self) -> bool {
        matches!(self, Self::Destroying { .. })
    }

    /// There is a present task, or may be.
    pub const fn has_task(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Ready { .. } | Self::Stopping { .. })
    }
}

/// Why a database has no task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum StopReason {
    /// It was changed, and its next task is as it should be now.
    Changed,
    /// It did not answer for too long after its start.
    Silent,
    /// Its task ended by itself.
    Exited {
        /// Exit code.
        exit: i64,
        /// Killed for using more memory than its limit.
        out_of_memory: bool,
    },
    /// The engine has nothing of its task any more: somebody removed it.
    Lost,
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changed => f.write_str("it was changed"),
            Self::Silent => f.write_str("it did not answer in time"),
            Self::Exited { out_of_memory: true, .. } => {
                f.write_str("it was killed: it used more memory than its limit")
            }
            Self::Exited { exit, .. } => write!(f, "it ended with code {exit}"),
            Self::Lost => f.write_str("its task was removed by somebody else"),
        }
    }
}

/// Why a database could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum FailureReason {
    /// Its image, its volume or its task cannot be had.
    NotStarted {
        /// What went wrong, for people.
        message: String,
    },
    /// Its task ended by itself again and again before it had ever answered.
    NeverReady {
        /// How the last one ended, for people.
        message: String,
    },
}

impl std::fmt::Display for FailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotStarted { message } => write!(f, "it could not be started: {message}"),
            Self::NeverReady { message } => write!(f, "it never answered: {message}"),
        }
    }
}
