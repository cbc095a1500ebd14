//! Releases: what can be gone back to.

use havre_core::artifact::Artifact;
use havre_core::id::{BuildId, ReleaseId};
use havre_core::release::promotion::PromotedFrom;
use havre_core::service::spec::ServiceSpec;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Releases of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseList {
    /// Newest first.
    pub releases: Vec<Release>,
}

/// One release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// Its id.
    #[schema(value_type = String, example = "r7")]
    pub id: ReleaseId,
    /// Users get this one.
    pub is_live: bool,
    /// A deployment of it has succeeded, so it can be rolled back to without a doubt.
    pub has_succeeded: bool,
    /// The files of this site, or the image that was built here, were removed, so it cannot be rolled back to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub files_removed: bool,
    /// What runs.
    #[schema(value_type = Object, example = json!({"kind": "site", "digest": "sha256:…"}))]
    pub artifact: Artifact,
    /// How it runs.
    #[schema(value_type = Object)]
    pub spec: ServiceSpec,
    /// Configuration revision of the service when it was made.
    pub revision: u64,
    /// The build that made its artifact.
    #[schema(value_type = Option<String>, example = "b4")]
    pub build: Option<BuildId>,
    /// Commit the client named, empty when unknown.
    pub commit: String,
    /// The release of another environment whose artifact it runs; absent for one that was not promoted.
    #[schema(value_type = Option<Object>, example = json!({"environment": "staging", "release": "r7"}))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<PromotedFrom>,
    /// Bytes its artifact takes: an image with the layers it shares with others, or the files of a site. Absent until it was
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Bytes by which that is more (or, negative, less) than of the release of the service before it whose size is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_change_bytes: Option<i64>,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Query of every list of one service's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Most entries, 1 to 1000; 50 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
