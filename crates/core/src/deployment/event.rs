//! What happened to a deployment.

use serde::{Deserialize, Serialize};

use crate::deployment::Kind;
use crate::deployment::state::State;
use crate::id::{DeploymentId, ReleaseId};

/// A past-tense fact about one deployment; the subject of the event is its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// It was recorded.
    Requested {
        /// The deployment.
        deployment: DeploymentId,
        /// The release it should make live.
        release: ReleaseId,
        /// Why.
        kind: Kind,
    },
    /// It entered a state.
    StateChanged {
        /// The deployment.
        deployment: DeploymentId,
        /// The new state.
        to: State,
    },
    /// Somebody asked to cancel it.
    CancelRequested {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// A line of the release command's output.
    CommandOutput {
        /// The deployment.
        deployment: DeploymentId,
        /// The lines.
        lines: Vec<String>,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Requested { deployment, release, kind } => {
                write!(f, "{} {deployment} of {release} requested", kind.name())
            }
            Self::StateChanged { deployment, to: State::Failed { reason, .. } } => {
                write!(f, "{deployment} failed: {reason}")
            }
            Self::StateChanged { deployment, to: State::Superseded { by, .. } } => {
                write!(f, "{deployment} was superseded by {by}")
            }
            Self::StateChanged { deployment, to } => write!(f, "{deployment} is {}", to.name()),
            Self::CancelRequested { deployment } => write!(f, "{deployment} should be cancelled"),
            Self::CommandOutput { deployment, lines } => {
                write!(f, "{deployment} release command: {}", lines.join(" | "))
            }
        }
    }
}
