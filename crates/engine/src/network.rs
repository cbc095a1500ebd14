//! Networks and volumes as plain data.

use std::net::Ipv4Addr;

use havre_core::id::{EnvironmentId, ServiceId};
use havre_core::name::{EnvironmentName, ProjectName};
use havre_core::service::Place;
use serde::{Deserialize, Serialize};

/// A bridge network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Engine's name, see `havre_core::task::spec::{EDGE_NETWORK, environment_network}`.
    pub name: String,
    /// Its addresses, such as `10.230.0.0/20`, from our own recorded pool.
    pub subnet: String,
    /// The node's own address on it.
    pub gateway: Ipv4Addr,
    /// Tasks on it cannot reach each other, only the node can reach them: the `havre-edge` network.
    pub isolated: bool,
    /// Environment it is private to; `None` for `havre-edge`.
    pub environment: Option<NetworkEnvironment>,
}

/// Whose private network it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkEnvironment {
    /// The environment.
    pub id: EnvironmentId,
    /// Its project, for people.
    pub project: ProjectName,
    /// Its name, for people.
    pub name: EnvironmentName,
}

/// A volume: a folder that outlives tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Engine's name, see `havre_core::task::spec::volume_name`.
    pub name: String,
    /// Its only user.
    pub service: ServiceId,
    /// Where that service is, for people.
    pub place: Place,
}
