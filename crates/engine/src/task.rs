//! What an engine says of our tasks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use havre_core::artifact::Digest;
use havre_core::id::{EnvironmentId, ReleaseId, ServiceId};
use havre_core::task::EngineState;
use havre_core::task::spec::{EDGE_NETWORK, Purpose};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One task as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineTask {
    /// Name of the container.
    pub name: String,
    /// Why it exists.
    pub purpose: Purpose,
    /// Whose task it is.
    pub service: ServiceId,
    /// What it runs.
    pub release: ReleaseId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Image it runs.
    pub image: Digest,
    /// Never [`EngineState::Absent`].
    pub state: EngineState,
    /// When it was started, by the engine's clock.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the engine's clock.
    pub exited_at: Option<Timestamp>,
    /// Address on each of its networks, by the network's name; one that has ended keeps only fixed addresses.
    pub addresses: BTreeMap<String, Ipv4Addr>,
}

impl EngineTask {
    /// Address over which the edge reaches it.
    pub fn edge_address(&self) -> Option<Ipv4Addr> {
        self.addresses.get(EDGE_NETWORK).copied()
    }
}
