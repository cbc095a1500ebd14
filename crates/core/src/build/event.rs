//! What happened to a build.

use serde::{Deserialize, Serialize};

use crate::build::State;
use crate::id::BuildId;

/// A past-tense fact about one build; the subject of the event is its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// It entered a state; also written when it was queued.
    StateChanged {
        /// The build.
        build: BuildId,
        /// The new state.
        to: State,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::StateChanged { build, to } = self;
        match to {
            State::Passed { .. } => write!(f, "test {build} passed"),
            State::Failed { reason, .. } => write!(f, "build {build} failed: {reason}"),
            State::Superseded { by, .. } => write!(f, "build {build} was superseded by {by}"),
            State::Built { artifact, .. } | State::Succeeded { artifact, .. } => {
                write!(f, "build {build} made {artifact}")
            }
            _ => write!(f, "build {build} is {}", to.name()),
        }
    }
}
