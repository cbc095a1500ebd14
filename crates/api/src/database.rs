//! Databases: what is wanted of each, where it stands, and what goes with one. No password is in any of it.

use havre_core::database::RoleState;
use havre_core::database::role::RoleName;
use havre_core::database::spec::DatabaseSpec;
use havre_core::database::state::State;
use havre_core::id::{DatabaseId, EnvironmentId};
use havre_core::name::{DatabaseName, ServiceName};
use havre_core::time::Timestamp;
use havre_decide::database::insight::Facts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::environment::{Action, FieldChange};
use crate::task::{LogStream, TerminalSize};

/// The databases of an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseList {
    /// By name.
    pub databases: Vec<Database>,
}

/// One database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Database {
    /// Its id.
    #[schema(value_type = String, example = "m3")]
    pub id: DatabaseId,
    /// Its name: the host services reach it at.
    #[schema(value_type = String, example = "db")]
    pub name: DatabaseName,
    /// Row of its environment.
    #[schema(value_type = String, example = "e1")]
    pub environment_id: EnvironmentId,
    /// What is wanted.
    #[schema(value_type = Object)]
    pub spec: DatabaseSpec,
    /// Grows by one with every change of `spec`.
    pub revision: u64,
    /// Where it stands; `state.state` is its name.
    #[schema(value_type = Object, example = json!({"state": "ready", "since": "2026-11-24T10:00:00.000Z"}))]
    pub state: State,
    /// The state for people: `creating` until it has answered for the first time, then as in `state`.
    #[schema(example = "ready")]
    pub status: String,
    /// Why it does not go on right now, for people; empty when nothing is waited for.
    pub waiting: String,
    /// Number of its present task.
    pub task: u32,
    /// Digest of the image that runs; absent until it is known.
    #[schema(value_type = Option<String>)]
    pub image: Option<havre_core::artifact::Digest>,
    /// When it first answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<Timestamp>,
    /// Roles of services, by name.
    pub roles: Vec<DatabaseRole>,
    /// Services that use it, by name.
    #[schema(value_type = Vec<String>, example = json!(["api"]))]
    pub users: Vec<ServiceName>,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// How one service proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseRole {
    /// Name of the role in the database.
    #[schema(value_type = String, example = "api_a")]
    pub name: RoleName,
    /// `wanted`, `made`, or `replaced` since an instant.
    #[schema(value_type = Object, example = json!({"state": "made"}))]
    pub state: RoleState,
}

/// What the server of a database says about itself, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseInsight {
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it says; `kind` is `sql` for PostgreSQL and MariaDB, `redis` for Redis and Valkey. Never a value that somebody has stored.
    #[schema(value_type = Object, example = json!({"kind": "sql", "version": "16.4", "size_bytes": 23215463, "connections_max": 100}))]
    pub facts: Facts,
    /// What somebody should do something about, for people, the most urgent first.
    pub hints: Vec<String>,
    /// What it could not tell this time, for people; empty where it told everything.
    pub missing: Vec<String>,
}

/// What an apply does to one database, or would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseChange {
    /// Which.
    #[schema(value_type = String, example = "db")]
    pub database: DatabaseName,
    /// What happens; a database is never destroyed by an apply.
    pub action: Action,
    /// What differs, for `changed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// What goes with one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DestroyedDatabase {
    /// Its name.
    #[schema(value_type = String, example = "db")]
    pub database: DatabaseName,
    /// Which server it is, with its version.
    #[schema(example = "postgres 16")]
    pub server: String,
    /// Services that may use it no more.
    #[schema(value_type = Vec<String>, example = json!(["api"]))]
    pub users: Vec<ServiceName>,
}

/// Answer of `DELETE .../databases/{database}`. 202 when it began, 200 for a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DestroyDatabaseResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What goes.
    pub database: DestroyedDatabase,
}

/// First frame of `GET .../databases/{database}/console`: the client of the server inside its own task, as its superuser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleRequest {
    /// Further words for the client: `psql` or `redis-cli`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// With a terminal of this size; left out, without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
}

/// Query of `GET .../databases/{database}/logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DatabaseLogQuery {
    /// Stay connected until the present task ends.
    pub follow: bool,
    /// Only the last lines, 0 to 10000; 100 when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
}

/// One line of `GET .../databases/{database}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseLogEntry {
    /// When the engine got it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Number of the task that wrote it.
    pub task: u32,
    /// Where it was written to.
    pub stream: LogStream,
    /// The line; invalid UTF-8 is replaced, more than 16 KiB is cut.
    pub line: String,
}
