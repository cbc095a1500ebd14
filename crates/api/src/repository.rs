//! The repository of a project: what is in it, and which branches are protected.

use havre_core::name::ProjectName;
use havre_core::source::BranchName;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The repository of a project. Its settings may be made before there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repository {
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// Bytes of everything in it; absent until something is pushed or fetched.
    pub bytes: Option<u64>,
    /// Number of branches and tags; absent until something is pushed or fetched.
    pub refs: Option<u64>,
    /// When a branch or tag last moved.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pushed_at: Option<Timestamp>,
    /// When it was last packed anew.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub repacked_at: Option<Timestamp>,
    /// Branches that may be neither removed nor rewritten, by name.
    #[schema(value_type = Vec<String>)]
    pub protected: Vec<BranchName>,
}

/// Protects a branch, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtectRequest {
    /// The branch; it need not be there yet.
    #[schema(value_type = String, example = "main")]
    pub branch: BranchName,
    /// Whether it is protected from now on.
    pub on: bool,
}

/// What a change of protection came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProtectResponse {
    /// The branch.
    #[schema(value_type = String, example = "main")]
    pub branch: BranchName,
    /// Whether it was protected before.
    pub was_on: bool,
    /// Whether it is now.
    pub on: bool,
}
