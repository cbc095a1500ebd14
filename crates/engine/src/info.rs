//! What an engine says of itself.

use serde::{Deserialize, Serialize};

/// Which engine runs our tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Such as `docker`.
    pub kind: String,
    /// Version of the engine, for people.
    pub version: String,
    /// Newest API version it speaks.
    pub api_version: String,
    /// Tasks survive a restart of the engine.
    pub live_restore: bool,
    /// What is unwise about how it is set up, one sentence each with what to do.
    pub warnings: Vec<String>,
}
