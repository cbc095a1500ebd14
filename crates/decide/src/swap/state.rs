//! Where a swap stands. Persisted; each variant holds exactly its data.

use havre_core::id::{BackupRunId, DeploymentId, RestoreId};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a swap stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum State {
    /// Services lose the database in front: from here on nobody writes what would be missing later.
    Closing {
        /// Since when.
        since: Timestamp,
    },
    /// An upgrade: what is in it is saved.
    Saving {
        /// Since when.
        since: Timestamp,
        /// By this run.
        run: BackupRunId,
    },
    /// An upgrade: the new server gets what was saved.
    Restoring {
        /// Since when.
        since: Timestamp,
        /// By this restore.
        restore: RestoreId,
    },
    /// Inside of both servers the databases get their new names.
    Renaming {
        /// Since when.
        since: Timestamp,
    },
    /// Both servers stop: never do two answer to one name.
    Stopping {
        /// Since when.
        since: Timestamp,
    },
    /// Names are exchanged. Both start again, and the one that has the name now lets services in.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// Services are deployed again, so that their tasks get the passwords of the other one.
    Deploying {
        /// Since when.
        since: Timestamp,
        /// By these.
        deployments: Vec<DeploymentId>,
    },
    /// Everything becomes as it was: names were not exchanged yet.
    Undoing {
        /// Since when.
        since: Timestamp,
        /// Why.
        outcome: Outcome,
    },
    /// Services use the other one.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// See the reason for what services use.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: FailureReason,
    },
    /// Somebody asked for it. Everything is as it was.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// How a swap ends that is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", deny_unknown_fields)]
pub enum Outcome {
    /// It failed.
    Failed {
        /// Why.
        reason: FailureReason,
    },
    /// Somebody asked for it.
    Cancelled,
}

impl Outcome {
    /// The state it ends in.
    pub fn ended(&self, at: Timestamp) -> State {
        match self {
            Self::Failed { reason } => State::Failed { at, reason: reason.clone() },
            Self::Cancelled => State::Cancelled { at },
        }
    }
}

impl State {
    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closing { .. } => "closing",
            Self::Saving { .. } => "saving",
            Self::Restoring { .. } => "restoring",
            Self::Renaming { .. } => "renaming",
            Self::Stopping { .. } => "stopping",
            Self::Starting { .. } => "starting",
            Self::Deploying { .. } => "deploying",
            Self::Undoing { .. } => "undoing",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// When it ended.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Succeeded { at } | Self::Failed { at, .. } | Self::Cancelled { at } => Some(*at),
            Self::Closing { .. }
            | Self::Saving { .. }
            | Self::Restoring { .. }
            | Self::Renaming { .. }
            | Self::Stopping { .. }
            | Self::Starting { .. }
            | Self::Deploying { .. }
            | Self::Undoing { .. } => None,
        }
    }

    /// Nothing will change any more.
    pub const fn is_final(&self) -> bool {
        self.ended_at().is_some()
    }

    /// It can still be given up, and everything becomes as it was.
    pub const fn may_be_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Closing { .. } | Self::Saving { .. } | Self::Restoring { .. } | Self::Renaming { .. }
        )
    }

    /// Neither of the two servers may run.
    pub const fn holds_servers(&self) -> bool {
        matches!(self, Self::Stopping { .. })
    }

    /// Why it failed, or is about to.
    pub const fn failure(&self) -> Option<&FailureReason> {
        match self {
            Self::Failed { reason, .. } | Self::Undoing { outcome: Outcome::Failed { reason }, .. } => {
                Some(reason)
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Saving { run, .. } => write!(f, "saving ({run})"),
            Self::Restoring { restore, .. } => write!(f, "restoring ({restore})"),
            Self::Failed { reason, .. } => write!(f, "failed: {reason}"),
            other => f.write_str(other.name()),
        }
    }
}

/// Why a swap failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code", deny_unknown_fields)]
pub enum FailureReason {
    /// A database it is about is gone or going.
    Gone,
    /// A server did not take its new name in time.
    NotRenamed {
        /// What it said last, for people.
        message: String,
    },
    /// What was in it could not be saved.
    NotSaved {
        /// Why, for people.
        message: String,
    },
    /// What was saved could not be restored into the new server.
    NotRestored {
        /// Why, for people.
        message: String,
    },
    /// Names are exchanged, and the one that has the name now did not let services in for too long.
    NotStarted,
    /// Names are exchanged, and these deployments did not succeed.
    NotDeployed {
        /// Which.
        deployments: Vec<DeploymentId>,
    },
}

impl std::fmt::Display for FailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("one of the databases is gone"),
            Self::NotRenamed { message } => write!(f, "a server did not take its new name: {message}"),
            Self::NotSaved { message } => write!(f, "it could not be saved: {message}"),
            Self::NotRestored { message } => {
                write!(f, "the new server did not get what was saved: {message}")
            }
            Self::NotStarted => {
                f.write_str("the names are exchanged, but the other one did not let services in for an hour")
            }
            Self::NotDeployed { deployments } => {
                let names: Vec<String> = deployments.iter().map(ToString::to_string).collect();
                write!(f, "the names are exchanged, but {} did not succeed", names.join(", "))
            }
        }
    }
}
