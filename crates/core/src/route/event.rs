//! What happened to the route table.

use serde::{Deserialize, Serialize};

/// A past-tense fact about the route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A new generation was stored.
    TableStored {
        /// Its number.
        generation: u64,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::TableStored { generation } = self;
        write!(f, "route table {generation} stored")
    }
}
