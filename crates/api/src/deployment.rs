//! Deployments: attempts to make a release live, and the requests that start them.

use havre_core::deployment::{Kind, state::State};
use havre_core::id::{DeploymentId, ReleaseId, ServiceId};
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// Its id.
    #[schema(value_type = String, example = "d12")]
    pub id: DeploymentId,
    /// Row of the service it is for.
    #[schema(value_type = String, example = "s2")]
    pub service_id: ServiceId,
    /// Names of project, environment and service.
    #[schema(value_type = crate::service::PlaceSchema)]
    pub place: Place,
    /// The release it makes live.
    #[schema(value_type = String, example = "r7")]
    pub release: ReleaseId,
    /// The release that was live when it began to switch.
    #[schema(value_type = Option<String>, example = "r6")]
    pub previous: Option<ReleaseId>,
    /// `deploy`, `rollback` or `restart`.
    #[schema(value_type = String, example = "deploy")]
    pub kind: Kind,
    /// Where it stands; `state.state` is its name.
    #[schema(value_type = Object, example = json!({"state": "starting", "since": "2026-11-24T10:00:00.000Z"}))]
    pub state: State,
    /// Nothing will change any more.
    pub is_final: bool,
    /// Why it failed, for people; empty otherwise.
    pub failure: String,
    /// Why it does not go on right now, for people; empty when it does.
    pub waiting: String,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Deployments of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentList {
    /// Newest first.
    pub deployments: Vec<Deployment>,
}

/// Asks for a deployment of something that is already built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeploymentRequest {
    /// What to make live.
    pub source: Source,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a deployment makes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Source {
    /// A release of this service, its configuration included.
    Release {
        /// Which.
        #[schema(value_type = String, example = "r7")]
        release: ReleaseId,
    },
    /// The live release again, with fresh tasks.
    Live,
    /// The live release's artifact with today's configuration, as a new release without a build.
    Configuration,
}

/// Asks to go back to an earlier release, its configuration included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// The release; left out, the last one that succeeded before the live one.
    #[schema(value_type = Option<String>, example = "r6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// Asks for fresh tasks of the live release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RestartRequest {
    /// Only say what would happen.
    pub dry_run: bool,
}

/// Answer to whatever starts a deployment: 202 with `deployment`, or 200 without it for a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentAccepted {
    /// The deployment; absent in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
    /// What will happen, or would.
    pub plan: DeploymentPlan,
}

/// What a deployment does, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentPlan {
    /// The release that is live now.
    #[schema(value_type = Option<String>, example = "r7")]
    pub from: Option<ReleaseId>,
    /// The release that becomes live; absent where a dry run would first have to record it.
    #[schema(value_type = Option<String>, example = "r8")]
    pub to: Option<ReleaseId>,
    /// In order.
    pub steps: Vec<String>,
    /// What to know before saying yes.
    pub warnings: Vec<String>,
}
