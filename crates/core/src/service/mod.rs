//! A service: what the user wants running. Desired state only; what runs is in `task`.
//! What keeps the live release as specified is `decide`'s.

pub mod balance;
pub mod event;
pub mod spec;
pub mod tls;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, ReleaseId, ServiceId};
use crate::name::{EnvironmentName, ProjectName, ServiceName};
use crate::route::settings::auth::SecretDigest;
use crate::time::Timestamp;
use spec::ServiceSpec;

/// A row of desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// The environment it belongs to.
    pub environment: EnvironmentId,
    /// Where it belongs, by names.
    pub place: Place,
    /// Specification the next release will be made from.
    pub spec: ServiceSpec,
    /// Grows by one with every change of `spec`.
    pub revision: u64,
    /// Tasks wanted for the live release; starts as the live release's own number and is changed by `scale`.
    pub replicas: u32,
    /// The release users get.
    pub live: Option<ReleaseId>,
    /// Its users get a page instead of it.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// Set when the service is being destroyed: its routes are gone, its tasks drain.
    pub destroyed_at: Option<Timestamp>,
}

/// A service in maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Since when.
    pub since: Timestamp,
    /// Digest of the secret that passes.
    pub bypass: SecretDigest,
}

/// `project/environment/service`, for people, labels and names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its project.
    pub project: ProjectName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its own name.
    pub service: ServiceName,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.environment, self.service)
    }
}
