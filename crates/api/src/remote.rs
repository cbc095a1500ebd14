//! Remote repositories: where the repository of a project is fetched from. Tokens go in and never come out.

use havre_core::name::ProjectName;
use havre_core::source::RemoteUrl;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The remote repository of a project, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Remote {
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// Where it is.
    #[schema(value_type = String, example = "https://github.com/acme/dropit.git")]
    pub url: RemoteUrl,
    /// Whether there is a token for it.
    pub has_token: bool,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Sets the remote repository of a project.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRemoteRequest {
    /// Where it is.
    #[schema(value_type = String, example = "https://github.com/acme/dropit.git")]
    pub url: RemoteUrl,
    /// What proves who fetches: an access token of the forge that may read the repository. Left out, one that was set before is
    /// forgotten. Never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl std::fmt::Debug for SetRemoteRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetRemoteRequest").field("url", &self.url).finish_non_exhaustive()
    }
}
