//! A deployment: one attempt to make a release live. `state` says where it stands; what comes
//! next is decided in `decide`.

pub mod event;
pub mod state;

use serde::{Deserialize, Serialize};

use crate::id::{DeploymentId, ReleaseId, ServiceId};
use crate::time::Timestamp;
use state::State;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Whose release it makes live.
    pub service: ServiceId,
    /// The release it makes live.
    pub release: ReleaseId,
    /// The release that was live when it began to switch; where a failure goes back to.
    pub previous: Option<ReleaseId>,
    /// Why it exists.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Why a deployment exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A new artifact or configuration.
    Deploy,
    /// An earlier release again, its configuration included.
    Rollback,
    /// The live release again, with fresh tasks.
    Restart,
}

impl Kind {
    /// The kind's name in text, JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Restart => "restart",
        }
    }
}
