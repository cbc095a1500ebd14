//! What happened to secrets of services. Never says a value. Tests: those of `store` and `web`.

use serde::{Deserialize, Serialize};

use crate::id::ReleaseId;
use crate::name::{EnvKey, EnvironmentName, ProjectName, ProviderName};
use crate::secret::value::{SecretVersion, scope_text};

/// A past-tense fact. Its subject is the installation, where it says no other: a secret belongs to a project, not to one service.
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
    /// There is a provider of that name, or it is another one.
    ProviderSet {
        /// The project.
        project: ProjectName,
        /// For which environment; absent for every one that has none of its own.
        environment: Option<EnvironmentName>,
        /// The provider.
        provider: ProviderName,
    },
    /// The provider is gone.
    ProviderRemoved {
        /// The project.
        project: ProjectName,
        /// Of which environment; absent for that of every one.
        environment: Option<EnvironmentName>,
        /// The provider.
        provider: ProviderName,
    },
    /// A provider gave values to a release. Its subject is the service.
    Fetched {
        /// The release.
        release: ReleaseId,
        /// References, each with the version that came.
        values: Vec<String>,
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
            Self::ProviderSet { project, environment, provider } => {
                write!(f, "secret provider {provider} of {project} set {}", scope_text(environment.as_ref()))
            }
            Self::ProviderRemoved { project, environment, provider } => {
                let scope = scope_text(environment.as_ref());
                write!(f, "secret provider {provider} of {project} removed {scope}")
            }
            Self::Fetched { release, values } => write!(f, "{release} got {}", values.join(", ")),
        }
    }
}
