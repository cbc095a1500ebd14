//! Previews of pull requests (GitLab: merge requests): each an environment of its own.

use havre_core::name::{EnvironmentName, ProjectName};
use havre_core::pipeline::push::DEFAULT_BRANCH;
use havre_core::preview::{PullNumber, State};
use havre_core::source::{BranchName, CommitId};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The preview of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// The pull request.
    #[schema(value_type = u32, example = 7)]
    pub number: PullNumber,
    /// Its environment.
    #[schema(value_type = String, example = "pr-7")]
    pub environment: EnvironmentName,
    /// The commit it was last made of.
    #[schema(value_type = String, example = "0123456789abcdef0123456789abcdef01234567")]
    pub commit: CommitId,
    /// The branch with the changes.
    #[schema(value_type = String, example = "feature/x")]
    pub branch: BranchName,
    /// The branch they are meant for, whose `[previews]` counts.
    #[schema(value_type = String, example = "main")]
    pub base: BranchName,
    /// It comes from another repository, and so has no secrets.
    pub is_fork: bool,
    /// Where it stands; `state.state` is its name.
    #[schema(value_type = Object, example = json!({"state": "open", "since": "2026-11-24T10:00:00.000Z"}))]
    pub state: State,
    /// Where users find it, each a host with a path.
    #[schema(example = json!(["7.preview.example.org/"]))]
    pub routes: Vec<String>,
    /// When it was last pushed to.
    #[schema(value_type = String, format = DateTime)]
    pub pushed_at: Timestamp,
    /// When it goes, unless somebody pushes.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Previews of one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewList {
    /// Newest pull request first; closed ones included.
    pub previews: Vec<Preview>,
}

/// Asks for a preview by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenPreviewRequest {
    /// The branch with the changes, of the remote repository itself.
    #[schema(value_type = String, example = "feature/x")]
    pub branch: BranchName,
    /// The branch they are meant for, whose `[previews]` counts; `main` when it is left out.
    #[serde(default = "usual_base")]
    #[schema(value_type = String, example = "main")]
    pub base: BranchName,
}

fn usual_base() -> BranchName {
    DEFAULT_BRANCH.parse().expect("it is the name of a branch")
}
