//! An environment: applied as a whole, read as a whole, destroyed as a whole.

use havre_core::database::spec::DatabaseSpec;
use havre_core::name::{EnvironmentName, ProjectName, ServiceName};
use havre_core::service::spec::ServiceSpec;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::database::{Database, DatabaseChange, DestroyedDatabase};
use crate::service::ServiceStatus;

/// Desired state of a whole environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Every service the environment should have, complete with defaults (`ServiceSpec`, version 1).
    #[schema(value_type = Vec<Object>, max_items = 200)]
    pub services: Vec<ServiceSpec>,
    /// Every database the environment should have, complete with defaults. One that is not named stays, whatever `prune` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>, max_items = 50)]
    pub databases: Vec<DatabaseSpec>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Destroy services that exist but are not named here. Without it they stay and are only named.
    #[serde(default)]
    pub prune: bool,
}

/// What an apply changed, or would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplyResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// One entry for each service of the request and each existing one it does not name, by name.
    pub changes: Vec<Change>,
    /// The same for databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseChange>,
    /// What to know.
    pub warnings: Vec<String>,
}

/// What happens to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Which.
    #[schema(value_type = String, example = "api")]
    pub service: ServiceName,
    /// What happens.
    pub action: Action,
    /// Its configuration revision afterwards; absent for one that would be created or is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What differs, for `changed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// The change reaches users only with the next deployment.
    pub needs_deployment: bool,
}

/// What happens to one service of an apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Created,
    /// Its configuration changes.
    Changed,
    /// It is as asked for.
    Unchanged,
    /// The request does not name it; it stays because `prune` was not set.
    NotNamed,
    /// The request does not name it; it is destroyed because `prune` was set.
    Destroyed,
}

/// One difference between two configurations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// Where, such as `work.replicas` or `routes[0].host`.
    pub path: String,
    /// Before; absent where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub from: Option<serde_json::Value>,
    /// After; absent where it goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub to: Option<serde_json::Value>,
}

/// State of a whole environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentStatus {
    /// Its project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// Its name.
    #[schema(value_type = String, example = "production")]
    pub environment: EnvironmentName,
    /// By name.
    pub services: Vec<ServiceStatus>,
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
}

/// Query of `DELETE` on an environment or a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DestroyQuery {
    /// Only list what would go.
    pub dry_run: bool,
    /// Name of what is destroyed, said a second time; needed unless `dry_run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
}

/// What a destruction takes away. 202 when it began, 200 for a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DestroyResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// By name.
    pub services: Vec<DestroyedService>,
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DestroyedDatabase>,
}

/// What goes with one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DestroyedService {
    /// Its name.
    #[schema(value_type = String, example = "api")]
    pub service: ServiceName,
    /// Public addresses that stop to answer.
    #[schema(example = json!(["api.example.org/"]))]
    pub routes: Vec<String>,
    /// Volumes whose data is deleted for ever.
    pub volumes: Vec<String>,
    /// Number of releases that cannot be rolled back to any more (counted up to 1000).
    pub releases: u64,
    /// Tasks that drain and stop.
    pub tasks: u64,
}
