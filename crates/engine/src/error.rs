//! What can go wrong at an engine, as plain data: it must cross a process boundary, so causes are carried as text.
//! Does not map Docker's answers; that is `docker/answer.rs`. Tests at the end of the file.

use std::time::Duration;

use havre_core::registry::RegistryHost;
use serde::{Deserialize, Serialize};

/// Why an engine did not do what was asked. [`EngineError::is_permanent`] says whether trying again can help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EngineError {
    /// The engine does not answer. Passes when it is started again.
    #[error(
        "could not reach Docker at {address}: {message}; start it with `systemctl start docker`, or run `dockerd` where no service manager runs"
    )]
    Unreachable {
        /// Where it should answer.
        address: String,
        /// What the connection said.
        message: String,
    },
    /// The engine is older than we support. Permanent: a person must upgrade it.
    #[error(
        "Docker {version} speaks API {api_version}, Havre needs 1.41 or newer: install Docker Engine 20.10 or newer"
    )]
    TooOld {
        /// Version of the engine.
        version: String,
        /// Newest API version it speaks.
        api_version: String,
    },
    /// There is no such thing. Permanent: it will not appear by asking again.
    #[error("{what} does not exist")]
    NotFound {
        /// Kind and name, such as ``image `nginx:99` ``.
        what: String,
    },
    /// A registry refused our credentials or wants some (401, 403). Permanent until someone gives us others.
    #[error(
        "the registry denied access to {what}: {message}; `havre registry set {registry}` gives it a user and a password"
    )]
    Denied {
        /// Image that was asked for.
        what: String,
        /// The registry it names.
        registry: RegistryHost,
        /// What the registry said.
        message: String,
    },
    /// A registry wants fewer pulls (429). Passes with time.
    #[error("the registry limits how often {what} may be pulled: {message}")]
    RateLimited {
        /// Image that was asked for.
        what: String,
        /// Wait the registry asked for, where it said so.
        retry_after: Option<Duration>,
        /// What the registry said.
        message: String,
    },
    /// The engine's disk is full. Passes when someone makes room.
    #[error("no space left on the engine's disk while trying to {what}")]
    NoSpace {
        /// What we were doing.
        what: String,
    },
    /// Something of that name exists without the labels of this installation; it is left alone. Permanent: a person must
    /// rename or remove it.
    #[error(
        "{what} exists and does not belong to this installation of Havre; it is left alone, remove or rename it"
    )]
    Foreign {
        /// Kind and name.
        what: String,
    },
    /// It is ours, but in a state or shape that does not allow what was asked. Not permanent: a later plan may have
    /// brought the world into another state.
    #[error("could not {what}: {message}")]
    Conflict {
        /// What we were doing.
        what: String,
        /// What stands in the way.
        message: String,
    },
    /// Another container holds the address. Passes when that one is gone.
    #[error("address {address} of {name} is in use")]
    AddressInUse {
        /// Task that wanted it.
        name: String,
        /// The address.
        address: std::net::Ipv4Addr,
    },
    /// The image's command cannot be run (no such program, not executable). Permanent: the release is broken.
    #[error("could not start {name}: {message}")]
    CannotStart {
        /// The task.
        name: String,
        /// What the runtime said.
        message: String,
    },
    /// Anything else. Not permanent: nothing says that it is.
    #[error("could not {what}: {message}")]
    Failed {
        /// What we were doing.
        what: String,
        /// What the engine said.
        message: String,
    },
}

impl EngineError {
    /// Whether asking again without a change by a person gives the same answer; each variant says why.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::TooOld { .. }
            | Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Foreign { .. }
            | Self::CannotStart { .. } => true,
            Self::Unreachable { .. }
            | Self::RateLimited { .. }
            | Self::NoSpace { .. }
            | Self::Conflict { .. }
            | Self::AddressInUse { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// Shorthand for [`EngineError::NotFound`] with kind and name.
    pub fn not_found(kind: &str, name: &str) -> Self {
        Self::NotFound { what: format!("{kind} `{name}`") }
    }

    /// Shorthand for [`EngineError::Foreign`] with kind and name.
    pub fn foreign(kind: &str, name: &str) -> Self {
        Self::Foreign { what: format!("{kind} `{name}`") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crosses_a_process_boundary() {
        let error = EngineError::RateLimited {
            what: "image `nginx:1`".into(),
            retry_after: Some(Duration::from_secs(30)),
            message: "toomanyrequests".into(),
        };
        let json = serde_json::to_string(&error).expect("plain data");
        assert_eq!(serde_json::from_str::<EngineError>(&json).expect("same data"), error);
    }

    #[test]
    fn a_missing_docker_says_how_to_start_it() {
        let error = EngineError::Unreachable { address: "unix:///x".into(), message: "refused".into() };
        assert!(error.to_string().contains("systemctl start docker"), "{error}");
        assert!(!error.is_permanent());
    }

    #[test]
    fn a_denied_image_says_what_to_set() {
        let error = EngineError::Denied {
            what: "image `registry.example.org/a:1`".into(),
            registry: "registry.example.org".parse().expect("a host"),
            message: "unauthorized".into(),
        };
        assert_eq!(
            error.to_string(),
            "the registry denied access to image `registry.example.org/a:1`: unauthorized; \
             `havre registry set registry.example.org` gives it a user and a password"
        );
        assert!(error.is_permanent());
    }
}
