//! Promotion: what one environment runs, by digest, with the configuration of another.

use havre_core::artifact::Artifact;
use havre_core::id::ReleaseId;
use havre_core::name::{EnvironmentName, ServiceName};
use havre_core::release::promotion::Reason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::deployment::Deployment;

/// Asks that an environment gets what another one of the same project runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteRequest {
    /// The environment whose artifacts are taken.
    #[schema(value_type = String, example = "staging")]
    pub from: EnvironmentName,
    /// Only these services; left out, all that both have, but for those whose configuration names an image.
    #[schema(value_type = Vec<String>, example = json!(["api"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceName>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was promoted, or would be. 202 when deployments began, 200 for a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PromoteResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// The environment whose artifacts are taken.
    #[schema(value_type = String, example = "staging")]
    pub from: EnvironmentName,
    /// The environment that gets them.
    #[schema(value_type = String, example = "production")]
    pub to: EnvironmentName,
    /// By name.
    pub promoted: Vec<Promoted>,
    /// What was left out, by name.
    pub skipped: Vec<Skipped>,
    /// What to know.
    pub warnings: Vec<String>,
}

/// A service that gets another artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Promoted {
    /// Which.
    #[schema(value_type = String, example = "api")]
    pub service: ServiceName,
    /// The release whose artifact is taken, of the service of this name in `from`.
    #[schema(value_type = String, example = "r7")]
    pub source: ReleaseId,
    /// Its commit, empty when unknown.
    pub commit: String,
    /// What the service runs now in `to`; absent before its first deployment.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Artifact>,
    /// What it gets.
    #[schema(value_type = Object, example = json!({"kind": "site", "digest": "sha256:…"}))]
    pub artifact: Artifact,
    /// The new release; absent in a dry run.
    #[schema(value_type = Option<String>, example = "r12")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Its deployment; absent in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}

/// A service that is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skipped {
    /// Which.
    #[schema(value_type = String, example = "db")]
    pub service: ServiceName,
    /// Why, for programs: `not_in_source`, `not_in_target`, `never_deployed`, `same_already`, `under_way`, `being_destroyed`,
    /// `other_kind`, `builds_from_image` or `artifact_removed`.
    #[schema(value_type = String, example = "same_already")]
    pub reason: Reason,
    /// Why, for people.
    pub text: String,
}
