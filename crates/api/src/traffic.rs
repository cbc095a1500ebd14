//! What goes through an edge right now: requests, errors, durations and bytes of the last window, by service or site
//! and release. Part of an edge's report, and the answer of `GET /v1/traffic`. Golden JSON: `tests/it/main.rs`.

use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /v1/traffic`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TrafficList {
    /// Every edge that has reported since control started.
    pub edges: Vec<EdgeTraffic>,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EdgeTraffic {
    /// Its name.
    pub edge: String,
    /// When it said so.
    #[schema(value_type = String, format = DateTime)]
    pub reported_at: Timestamp,
    /// What it said.
    pub traffic: Traffic,
}

/// A window of an edge's traffic, and counters of its process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// Length of the window.
    pub window_ms: u64,
    /// Client connections open now.
    pub connections: u64,
    /// Connections and requests turned away at a limit since the process started.
    pub shed: u64,
    /// Requests sent to an upstream again since the process started.
    pub retries: u64,
    /// Panics of the edge since its process started; each is a bug.
    pub panics: u64,
    /// Lines of the access log that were not written since the process started.
    pub log_dropped: u64,
    /// Services and sites with requests in the window or in flight, the busiest first.
    pub rows: Vec<TrafficRow>,
    /// Rows that are left out because there are too many.
    pub left_out: u64,
}

/// One release of one service or site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TrafficRow {
    /// `project/environment/service`, or `host/path/` of a site.
    pub name: String,
    /// Name of the release; empty for answers the edge gave itself.
    pub release: String,
    /// Requests that ended in the window.
    pub requests: u64,
    /// Those of them that ended with 5xx or without an answer.
    pub errors: u64,
    /// Those of them that ended with 4xx.
    pub client_errors: u64,
    /// Bytes of their bodies.
    pub received_bytes: u64,
    /// Bytes of their answers' bodies.
    pub sent_bytes: u64,
    /// Half of them took at most this long.
    pub p50_us: u64,
    /// 95 of a hundred took at most this long.
    pub p95_us: u64,
    /// 99 of a hundred took at most this long.
    pub p99_us: u64,
    /// Requests, upgraded connections and streams in flight now.
    pub in_flight: u64,
    /// Requests that wait for a task with room.
    pub waiting: u64,
}
