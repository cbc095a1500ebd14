//! A release: immutable artifact + specification of one service, kept so that a rollback restores both. `promotion` says
//! which releases of one environment another one gets, `size` when an artifact has grown notably.

pub mod event;
pub mod promotion;
pub mod size;

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::id::{BuildId, ReleaseId, ServiceId};
use crate::quantity::ByteSize;
use crate::release::promotion::PromotedFrom;
use crate::service::spec::ServiceSpec;
use crate::time::Timestamp;

/// A row that never changes, but for its size, which is known once its artifact is there.
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
    /// The release of another environment whose artifact it runs; `None` for one that was not promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<PromotedFrom>,
    /// Room its artifact takes: an image with the layers it shares with others, or the files of a site. `None` until it was
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// When it was recorded.
    pub created_at: Timestamp,
}
