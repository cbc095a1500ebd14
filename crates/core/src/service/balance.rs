//! How the requests of a service are spread over its tasks, as the user said it, and which tasks are left out for a while
//! (`choose`, `budget`, `outlier`). The edge does it (`havre_edge::balance`). Tests: `tests/it/manifest.rs`.

pub mod budget;
pub mod choose;
pub mod outlier;

use serde::{Deserialize, Serialize};

use crate::quantity::Span;

/// Balancing of one service. Rows that were written before it existed mean the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BalanceSpec {
    /// Most requests in flight for one task; 0 means no limit.
    pub max_in_flight: u32,
    /// Most requests that wait while every task is at that limit.
    pub queue: u32,
    /// Longest such wait.
    pub queue_wait: Span,
    /// Time over which a fresh task comes to its full share beside others.
    pub slow_start: Span,
    /// Failures in a row after which a task gets no requests for a while; 0 means never.
    pub eject_after: u32,
    /// Requests of a hundred that may be sent to a second task after a first one has had them; 0 means none.
    pub retry_percent: u32,
}

impl Default for BalanceSpec {
    fn default() -> Self {
        Self {
            max_in_flight: 0,
            queue: 100,
            queue_wait: Span::seconds(2),
            slow_start: Span::seconds(10),
            eject_after: 5,
            retry_percent: 10,
        }
    }
}
