//! What an edge tells control: which table it serves, how healthy each upstream is, what is still in flight.
//! Posted at once when anything but a counter changes, and every two seconds otherwise.
//! Golden JSON: `tests/it/main.rs`.

use serde::{Deserialize, Serialize};

use crate::traffic::Traffic;

/// State of one edge process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeReport {
    /// Name of the edge, stable over restarts (the node's name).
    pub edge: String,
    /// Random name of this process; counters restart from zero when it changes.
    pub instance: String,
    /// Generation that **every** worker of this edge uses; no worker can still pick from an older one.
    pub generation: u64,
    /// Addresses the edge listens on for users of plain HTTP.
    pub listeners: Vec<std::net::SocketAddr>,
    /// Addresses it listens on for users of HTTPS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub https: Vec<std::net::SocketAddr>,
    /// One entry for each upstream of the table with this generation; less where [`EdgeReport::is_partial`].
    pub upstreams: Vec<UpstreamReport>,
    /// It names only the upstreams of services that another table has changed since the last report of this process;
    /// all others are as that one said. After a whole report nothing is left of what came before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// What went through in the last window; absent before the first one is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
}

/// What the edge knows of one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamReport {
    /// Name of the task (`t123`).
    pub task: String,
    /// Result of the probes.
    pub health: Health,
    /// Result of the user's own checks.
    pub checks: Checks,
    /// Requests, upgraded connections and streams that use this upstream now.
    pub in_flight: u64,
    /// Requests sent to it since this edge process started.
    pub requests: u64,
    /// Answers with status 5xx, and requests that failed without an answer.
    pub errors: u64,
}

/// Result of the probes of one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum Health {
    /// No probe has ended yet.
    Unknown,
    /// The last probe succeeded, or too few failed in a row to matter.
    Healthy,
    /// The probe fails; `reason` is for people (`GET /health answered 500`).
    Unhealthy {
        /// Why, for people.
        reason: String,
    },
}

/// Result of the user's own checks of one standby upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum Checks {
    /// Not all have passed yet.
    Pending,
    /// All passed, or there are none.
    Passed,
    /// One answered wrongly; it is tried again until the deployment's deadline.
    Failed {
        /// Which and why, for people.
        reason: String,
    },
}
