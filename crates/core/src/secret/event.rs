//! What happened to secrets of services. Never says a value. Tests: those of `store` and `web`.

use serde::{Deserialize, Serialize};

use crate::name::{EnvKey, EnvironmentName, ProjectName};
use crate::secret::value::{SecretVersion, scope_text};

/// A past-tense fact. Its subject is the installation: a secret belongs to a project, not to one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// It has a value, or another one.
    Set {
        /// The project.
        project: ProjectName,
        /// For which environment; absent for every one that has no value of its own.
        environment: Option<EnvironmentName>,
        /// The secret.
        name: EnvKey,
        /// The new version.
        version: SecretVersion,
    },
    /// Its values are gone.
    Removed {
        /// The project.
        project: ProjectName,
        /// Of which environment; absent for those of every one.
        environment: Option<EnvironmentName>,
        /// The secret.
        name: EnvKey,
    },
    /// Somebody was shown its value.
    Revealed {
        /// The project.
        project: ProjectName,
        /// Of which environment; absent for the value of every one.
        environment: Option<EnvironmentName>,
        /// The secret.
        name: EnvKey,
        /// Which version.
        version: SecretVersion,
    },
    /// The project has another data key, and everything is sealed with it.
    KeyRotated {
        /// The project.
        project: ProjectName,
        /// Values that were sealed anew.
        values: u64,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set { project, environment, name, version } => {
                write!(
                    f,
                    "secret {name} of {project} set {}, now {version}",
                    scope_text(environment.as_ref())
                )
            }
            Self::Removed { project, environment, name } => {
                write!(f, "secret {name} of {project} removed {}", scope_text(environment.as_ref()))
            }
            Self::Revealed { project, environment, name, version } => {
                let scope = scope_text(environment.as_ref());
                write!(f, "secret {name} of {project} revealed {scope} ({version})")
            }
            Self::KeyRotated { project, values } => {
                write!(f, "data key of {project} replaced, {values} values sealed anew")
            }
        }
    }
}
