//! What happened to a service.

use serde::{Deserialize, Serialize};

use crate::id::{DeploymentId, ReleaseId};

/// A past-tense fact about one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// It was applied for the first time.
    Created,
    /// Its specification changed.
    Changed {
        /// The new revision.
        revision: u64,
    },
    /// Its wanted number of tasks changed.
    Scaled {
        /// Before.
        from: u32,
        /// After.
        to: u32,
    },
    /// Users now get another release.
    WentLive {
        /// The release users get from now on.
        release: ReleaseId,
        /// The release they got before.
        previous: Option<ReleaseId>,
        /// The deployment that did it.
        deployment: DeploymentId,
    },
    /// Its users get a page instead of it.
    MaintenanceStarted,
    /// Its users get it again.
    MaintenanceEnded,
    /// Somebody asked to destroy it.
    DestroyRequested,
    /// Nothing of it is left.
    Destroyed,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Created => f.write_str("service created"),
            Self::Changed { revision } => write!(f, "configuration changed, now revision {revision}"),
            Self::Scaled { from, to } => write!(f, "scaled from {from} to {to} tasks"),
            Self::WentLive { release, previous: Some(previous), deployment } => {
                write!(f, "{release} went live instead of {previous} ({deployment})")
            }
            Self::WentLive { release, previous: None, deployment } => {
                write!(f, "{release} went live ({deployment})")
            }
            Self::MaintenanceStarted => f.write_str("maintenance started: users get a page"),
            Self::MaintenanceEnded => f.write_str("maintenance ended"),
            Self::DestroyRequested => f.write_str("destruction requested"),
            Self::Destroyed => f.write_str("service destroyed"),
        }
    }
}
