//! Services: their configuration, what is live and what runs.

use havre_core::id::ServiceId;
use havre_core::name::ServiceName;
use havre_core::service::Place;
use havre_core::service::spec::ServiceSpec;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::build::Build;
use crate::deployment::Deployment;
use crate::release::Release;
use crate::task::TaskStatus;

/// Names of project, environment and service.
// Only the schema of `havre_core::service::Place`: core knows nothing of OpenAPI.
#[derive(Debug, ToSchema)]
#[schema(as = Place)]
#[expect(dead_code, reason = "exists for its schema")]
pub struct PlaceSchema {
    #[schema(example = "dropit")]
    project: String,
    #[schema(example = "production")]
    environment: String,
    #[schema(example = "api")]
    service: String,
}

/// State of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its row.
    #[schema(value_type = String, example = "s2")]
    pub id: ServiceId,
    /// Its name.
    #[schema(value_type = String, example = "api")]
    pub name: ServiceName,
    /// Names of project, environment and service.
    #[schema(value_type = PlaceSchema)]
    pub place: Place,
    /// One word for people: `running`, `deploying`, `degraded` (fewer healthy tasks than wanted), `down` (none),
    /// `not_deployed` or `destroying`.
    pub summary: Summary,
    /// Configuration the next release is made from.
    #[schema(value_type = Object)]
    pub spec: ServiceSpec,
    /// Grows with every change of `spec`.
    pub revision: u64,
    /// Tasks wanted for the live release; 0 for a site.
    pub replicas: u32,
    /// The release users get.
    pub live: Option<Release>,
    /// `spec` is newer than the live release.
    pub is_changed: bool,
    /// Every task with a row, oldest first.
    pub tasks: Vec<TaskStatus>,
    /// Deployments that have not ended, oldest first.
    pub deployments: Vec<Deployment>,
    /// Builds that have not ended, oldest first.
    pub builds: Vec<Build>,
    /// Why its own loop waits, for people; empty when it does not.
    pub waiting: String,
    /// Tasks that ended by themselves lately.
    pub failures: Option<Failures>,
    /// Since when its users get a page instead of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_since: Option<Timestamp>,
    /// Since when it is being destroyed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub destroyed_at: Option<Timestamp>,
}

/// One word on a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Summary {
    /// Every task it should have is healthy, or its files are served.
    Running,
    /// A deployment has not ended.
    Deploying,
    /// Fewer healthy tasks than wanted.
    Degraded,
    /// No healthy task.
    Down,
    /// No release is live.
    NotDeployed,
    /// It is being destroyed.
    Destroying,
}

/// Tasks that ended by themselves lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failures {
    /// How many in a row.
    pub count: u32,
    /// When the last one did.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
}

/// Asks to start or end maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceRequest {
    /// Start it; ends it otherwise. Starting it again changes the secret.
    pub on: bool,
}

/// Maintenance was started or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaintenanceResponse {
    /// It was on before.
    pub was_on: bool,
    /// It is on now.
    pub on: bool,
    /// The secret that passes, as the header `Havre-Bypass` or the cookie `havre_bypass`; shown this one time.
    pub bypass: Option<String>,
}

/// Asks for another number of tasks of the live release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// Number of tasks, 0 to 50.
    pub replicas: u32,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// A scale that was recorded (202), or would be (200).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScaleResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Before.
    pub from: u32,
    /// After.
    pub to: u32,
    /// What to know.
    pub warnings: Vec<String>,
}
