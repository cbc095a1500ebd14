//! What happened to a build, and to the secrets of builds.

use serde::{Deserialize, Serialize};

use crate::build::State;
use crate::id::BuildId;
use crate::name::{BuildSecretName, ProjectName};

/// A past-tense fact. The subject of what happens to a build is its service; that of a secret is the installation.
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
    /// A secret of builds has a new value.
    SecretSet {
        /// The project.
        project: ProjectName,
        /// Its name.
        secret: BuildSecretName,
    },
    /// A secret of builds is gone.
    SecretRemoved {
        /// The project.
        project: ProjectName,
        /// Its name.
        secret: BuildSecretName,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StateChanged { build, to } => match to {
                State::Passed { .. } => write!(f, "test {build} passed"),
                State::Failed { reason, .. } => write!(f, "build {build} failed: {reason}"),
                State::Superseded { by, .. } => write!(f, "build {build} was superseded by {by}"),
                State::Built { artifact, .. } | State::Succeeded { artifact, .. } => {
                    write!(f, "build {build} made {artifact}")
                }
                _ => write!(f, "build {build} is {}", to.name()),
            },
            Self::SecretSet { project, secret } => write!(f, "build secret {secret} set for {project}"),
            Self::SecretRemoved { project, secret } => {
                write!(f, "build secret {secret} removed from {project}")
            }
        }
    }
}
