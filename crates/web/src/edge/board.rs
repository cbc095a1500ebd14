//! What edges last said of their traffic, in memory like their reports: it is about the last two seconds, and nothing is
//! decided by it. Tests: `tests/it/edge.rs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use havre_api::traffic::{EdgeTraffic, Traffic};
use havre_core::time::Timestamp;

/// Most edges remembered.
const EDGES_MAX: usize = 64;
/// A silent edge is forgotten after this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The last word of each edge.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, (Timestamp, Traffic)>>);

impl Board {
    /// Keeps what an edge said.
    pub(crate) fn record(&self, edge: &str, at: Timestamp, traffic: Traffic) {
        let mut edges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        edges.retain(|_, (other, _)| at.since(*other) <= FORGOTTEN_AFTER);
        if edges.len() < EDGES_MAX || edges.contains_key(edge) {
            edges.insert(edge.to_owned(), (at, traffic));
        }
    }

    /// What is still fresh enough to be shown.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<EdgeTraffic> {
        let edges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        edges
            .iter()
            .filter(|(_, (at, _))| now.since(*at) <= FORGOTTEN_AFTER)
            .map(|(edge, (at, traffic))| EdgeTraffic {
                edge: edge.clone(),
                reported_at: *at,
                traffic: traffic.clone(),
            })
            .collect()
    }
}
