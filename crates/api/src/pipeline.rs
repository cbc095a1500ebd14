//! Pipelines: runs from a pushed commit to what users get.

use havre_core::build::report::Steps;
use havre_core::id::{BuildId, DeploymentId, PipelineId};
use havre_core::name::{EnvironmentName, ProjectName, ServiceName};
use havre_core::pipeline::status::CommitStatus;
use havre_core::pipeline::{Cause, Stage, State};
use havre_core::source::{CommitId, RefName};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pipeline {
    /// Its id.
    #[schema(value_type = String, example = "i7")]
    pub id: PipelineId,
    /// The project whose repository the commit is in.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// The environment it deploys to.
    #[schema(value_type = String, example = "production")]
    pub environment: EnvironmentName,
    /// Branch it was made for.
    #[schema(value_type = String, example = "refs/heads/main")]
    pub reference: RefName,
    /// The commit.
    #[schema(value_type = String, example = "0123456789abcdef0123456789abcdef01234567")]
    pub commit: CommitId,
    /// First line of the commit's message.
    pub subject: String,
    /// Who wrote the commit.
    pub author: String,
    /// Why there is this run.
    #[schema(value_type = Object, example = json!({"kind": "push", "by": {"kind": "token", "name": "ci"}}))]
    pub cause: Cause,
    /// Where it stands; `state.state` is its name.
    #[schema(value_type = Object, example = json!({"state": "queued"}))]
    pub state: State,
    /// The stages so far, in their order.
    #[serde(default)]
    pub stages: Vec<PipelineStage>,
    /// What it is made of, once the commit has been read.
    pub parts: Vec<PipelinePart>,
    /// Services of the commit that it leaves as they are.
    #[serde(default)]
    pub untouched: Vec<UntouchedService>,
    /// What the forge of the remote repository was told of it; absent where none is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusReport>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// One stage of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PipelineStage {
    /// `checkout`, `test`, `build` or `deploy`.
    #[schema(value_type = String, example = "build")]
    pub stage: Stage,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When it ended; absent while it is under way.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// A service that a pipeline leaves as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UntouchedService {
    /// Name of the service.
    #[schema(value_type = String, example = "web")]
    pub service: ServiceName,
    /// Why, for people.
    pub reason: String,
}

/// Steps of a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildSteps {
    /// That were done.
    pub total: u32,
    /// That were taken from the cache.
    pub cached: u32,
}

impl From<Steps> for BuildSteps {
    fn from(steps: Steps) -> Self {
        Self { total: steps.total, cached: steps.cached }
    }
}

/// The build of one service of a pipeline, or its test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PipelinePart {
    /// Name of the service.
    #[schema(value_type = String, example = "api")]
    pub service: ServiceName,
    /// Whether it is the test of the service.
    #[serde(default)]
    pub is_test: bool,
    /// Its build.
    #[schema(value_type = String, example = "b4")]
    pub build: BuildId,
    /// Name of the build's state.
    #[schema(example = "built")]
    pub build_state: String,
    /// When it began to work.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it stopped working.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Its steps, once it has ended; absent where it has none.
    #[serde(default)]
    pub steps: Option<BuildSteps>,
    /// The deployment it led to.
    #[schema(value_type = Option<String>, example = "d12")]
    pub deployment: Option<DeploymentId>,
    /// Name of the deployment's state.
    #[schema(example = "succeeded")]
    pub deployment_state: Option<String>,
}

/// What a forge was told of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    /// The pipeline.
    #[schema(value_type = String, example = "i7")]
    pub pipeline: PipelineId,
    /// What the forge shows: `pending`, `running`, `success`, `failure` or `cancelled`; absent before it was told anything.
    #[schema(value_type = Option<String>, example = "success")]
    pub told: Option<CommitStatus>,
    /// When it was told that.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub told_at: Option<Timestamp>,
    /// Why it could not be told what came after.
    pub reason: Option<String>,
    /// When that is tried again; absent where it was given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// Pipelines of one project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PipelineList {
    /// Newest first.
    pub pipelines: Vec<Pipeline>,
}
