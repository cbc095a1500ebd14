//! What happened to a task.

use serde::{Deserialize, Serialize};

use crate::id::{ReleaseId, TaskId};
use crate::time::Timestamp;

/// A past-tense fact about one task; the subject of the event is its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// Its row and address were recorded.
    Allocated {
        /// The task.
        task: TaskId,
        /// What it will run.
        release: ReleaseId,
        /// Which replica it is.
        slot: u32,
    },
    /// An edge found it healthy; it may get traffic.
    Proven {
        /// The task.
        task: TaskId,
    },
    /// It gets no new requests any more.
    DrainStarted {
        /// The task.
        task: TaskId,
        /// When waiting ends.
        deadline: Timestamp,
        /// Why.
        reason: DrainReason,
    },
    /// It ended without being asked to.
    Exited {
        /// The task.
        task: TaskId,
        /// Exit code.
        code: i64,
        /// Killed for using more memory than its limit.
        out_of_memory: bool,
        /// Its last log lines.
        last_lines: Vec<String>,
    },
    /// The edges call it unhealthy.
    Unhealthy {
        /// The task.
        task: TaskId,
        /// Why, for people.
        reason: String,
    },
    /// The edges call it healthy again.
    Recovered {
        /// The task.
        task: TaskId,
    },
    /// The engine has nothing of it any more and its address is free.
    Removed {
        /// The task.
        task: TaskId,
    },
}

/// Why a task is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainReason {
    /// A deployment put another release in its place.
    Replaced,
    /// Fewer tasks are wanted.
    ScaledDown,
    /// Its release is neither live nor wanted by an open deployment.
    Unwanted,
    /// It stopped answering.
    Unhealthy,
    /// Its service is being destroyed.
    Destroyed,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allocated { task, release, slot } => {
                write!(f, "{task} of {release} planned as replica {slot}")
            }
            Self::Proven { task } => write!(f, "{task} is healthy"),
            Self::DrainStarted { task, reason, .. } => {
                let why = match reason {
                    DrainReason::Replaced => "another release took over",
                    DrainReason::ScaledDown => "fewer tasks are wanted",
                    DrainReason::Unwanted => "its release is not wanted any more",
                    DrainReason::Unhealthy => "it stopped answering",
                    DrainReason::Destroyed => "its service is being destroyed",
                };
                write!(f, "{task} drains: {why}")
            }
            Self::Exited { task, out_of_memory: true, .. } => {
                write!(f, "{task} was killed: it used more memory than its limit")
            }
            Self::Exited { task, code, .. } => write!(f, "{task} ended by itself with code {code}"),
            Self::Unhealthy { task, reason } => write!(f, "{task} is unhealthy: {reason}"),
            Self::Recovered { task } => write!(f, "{task} is healthy again"),
            Self::Removed { task } => write!(f, "{task} is gone"),
        }
    }
}
