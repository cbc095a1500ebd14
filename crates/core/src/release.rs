//! A release: immutable artifact + specification of one service, kept so that a rollback restores both.

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::id::{BuildId, ReleaseId, ServiceId};
use crate::service::spec::ServiceSpec;
use crate::time::Timestamp;

/// A row that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Whose release it is.
    pub service: ServiceId,
    /// What runs.
    pub artifact: Artifact,
    /// How it runs: the service's specification when the release was made.
    pub spec: ServiceSpec,
    /// The service's revision at that moment.
    pub revision: u64,
    /// The build that made the artifact; `None` for `--image`.
    pub build: Option<BuildId>,
    /// Commit the client named (`SOURCE_COMMIT`), empty when unknown.
    pub commit: String,
    /// When it was recorded.
    pub created_at: Timestamp,
}
