//! Where a run of a job stands. Persisted; each variant holds exactly its data.

use serde::{Deserialize, Serialize};

use crate::id::JobRunId;
use crate::time::Timestamp;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Its next attempt has not begun.
    Waiting {
        /// When it may.
        not_before: Timestamp,
        /// Why the attempt before failed, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<FailureReason>,
    },
    /// The engine is asked to start the task of an attempt, and may have done so.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// The task was seen at work.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// The task was told to stop.
    Stopping {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: StopReason,
    },
    /// Its command ended with 0.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// Its last attempt failed.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: FailureReason,
    },
    /// Its last attempt took longer than it may.
    TimedOut {
        /// When it had ended.
        at: Timestamp,
    },
    /// Somebody asked for it.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// It never began.
    Skipped {
        /// When that was decided.
        at: Timestamp,
        /// Why.
        reason: SkipReason,
    },
}

impl State {
    /// Nothing will change any more.
    pub const fn is_final(&self) -> bool {
        self.ended_at().is_some()
    }

    /// When it ended.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { .. } | Self::Starting { .. } | Self::Running { .. } | Self::Stopping { .. } => {
                None
            }
            Self::Succeeded { at }
            | Self::Failed { at, .. }
            | Self::TimedOut { at }
            | Self::Cancelled { at }
            | Self::Skipped { at, .. } => Some(*at),
        }
    }

    /// Exit code of the command, where it ended by itself.
    pub const fn exit_code(&self) -> Option<i64> {
        match self {
            Self::Succeeded { .. } => Some(0),
            Self::Failed { reason: FailureReason::Exited { exit, .. }, .. } => Some(*exit),
            _ => None,
        }
    }

    /// It never began.
    pub const fn is_skipped(&self) -> bool {
        matches!(self, Self::Skipped { .. })
    }

    /// There is a task of its present attempt, or may be.
    pub const fn has_task(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Running { .. } | Self::Stopping { .. })
    }

    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Stopping { .. } => "stopping",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed_out",
            Self::Cancelled { .. } => "cancelled",
            Self::Skipped { .. } => "skipped",
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum FailureReason {
    /// Its command ended with an error.
    Exited {
        /// Exit code.
        exit: i64,
        /// Killed for using more memory than its limit.
        out_of_memory: bool,
    },
    /// It took longer than it may.
    TimedOut,
    /// Its task could not be started.
    NotStarted {
        /// What went wrong, for people.
        message: String,
    },
    /// The engine has nothing of its task any more: somebody removed it.
    Lost,
}

impl std::fmt::Display for FailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited { out_of_memory: true, .. } => {
                f.write_str("it was killed: it used more memory than its limit")
            }
            Self::Exited { exit, .. } => write!(f, "its command ended with code {exit}"),
            Self::TimedOut => f.write_str("it did not end in time"),
            Self::NotStarted { message } => write!(f, "it could not be started: {message}"),
            Self::Lost => f.write_str("its task was removed by somebody else before it had ended"),
        }
    }
}

/// Why a task was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It took longer than it may.
    TimedOut,
    /// Somebody asked for it, or its service is being destroyed.
    Cancelled,
}

/// Why a run never began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum SkipReason {
    /// A run of the same job had not ended.
    Overlap {
        /// Which.
        run: JobRunId,
    },
    /// Its time went by while nothing could run, and the job leaves such runs out.
    Missed,
    /// No release with this job was live any more.
    NoRelease,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Overlap { run } => write!(f, "{run} had not ended"),
            Self::Missed => f.write_str("its time went by while nothing could run"),
            Self::NoRelease => f.write_str("no release with this job was live any more"),
        }
    }
}
