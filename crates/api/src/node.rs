//! The installation itself: version, engine, edges and loops.

use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /v1/health`, without authorisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`; an answer at all says that the API works and the store can be read.
    #[schema(example = "ok")]
    pub status: String,
}

/// Answer of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// Version of Havre on the server.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Name of this installation, made when it was first started.
    pub installation: String,
    /// The engine, as far as it is known.
    pub engine: EngineStatus,
    /// Every edge that has reported since control started.
    pub edges: Vec<EdgeStatus>,
    /// Generation of the stored route table.
    pub generation: u64,
    /// `seq` of the newest event; follow from here to miss nothing after this answer.
    pub last_event: u64,
    /// The loops that make desired state true.
    pub loops: Vec<LoopStatus>,
}

/// What is known of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineStatus {
    /// Whether its last answer was a good one.
    pub is_ready: bool,
    /// Kind and versions, or what is wrong, for people.
    #[schema(example = "docker 20.10.24, API 1.41")]
    pub text: String,
    /// What should be changed on the machine.
    pub warnings: Vec<String>,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EdgeStatus {
    /// Its name.
    pub edge: String,
    /// Generation every worker of it uses.
    pub generation: u64,
    /// Where it listens for users.
    #[schema(value_type = Vec<String>, example = json!(["0.0.0.0:80"]))]
    pub listeners: Vec<std::net::SocketAddr>,
    /// When it last reported.
    #[schema(value_type = String, format = DateTime)]
    pub reported_at: Timestamp,
    /// Its last report is fresh enough to count.
    pub is_fresh: bool,
}

/// One loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoopStatus {
    /// Its room.
    #[schema(example = "deployment")]
    pub name: String,
    /// At work right now.
    pub is_running: bool,
    /// End of its last run.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_run_at: Option<Timestamp>,
    /// What its last run said: empty when all went well.
    pub last_error: String,
}
