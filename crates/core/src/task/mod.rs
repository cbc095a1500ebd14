//! A task: one running instance of a release, never restarted, only replaced. The row is written before the engine
//! is asked, so that a crash in between leaves nothing unknown.

pub mod event;
pub mod spec;

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::id::{DeploymentId, ReleaseId, ServiceId, TaskId};
use crate::time::Timestamp;

/// A row: what we want of one task and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id; names the container and the upstream.
    pub id: TaskId,
    /// Whose task it is.
    pub service: ServiceId,
    /// What it runs.
    pub release: ReleaseId,
    /// Which of the replicas it is, from 0.
    pub slot: u32,
    /// Address on the `havre-edge` network, from our own recorded pool; `None` without a port.
    pub address: Option<Ipv4Addr>,
    /// What we want of it.
    pub wanted: WantedTask,
    /// When an edge first found it healthy while its release was live or went live; such tasks get traffic.
    pub proven_at: Option<Timestamp>,
    /// Since when the edges call it unhealthy after it had been proven.
    pub unhealthy_since: Option<Timestamp>,
    /// When the row was written.
    pub created_at: Timestamp,
}

/// What we want of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum WantedTask {
    /// It should run.
    Run,
    /// No new requests; stop it when none is in flight or at the deadline.
    Drain {
        /// When waiting ends.
        deadline: Timestamp,
        /// The deployment that replaced it, if one did.
        by: Option<DeploymentId>,
    },
}

impl WantedTask {
    /// Whether it should run.
    pub const fn is_run(self) -> bool {
        matches!(self, Self::Run)
    }
}

/// What the engine says of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum EngineState {
    /// The engine has no such task.
    Absent,
    /// Made, not started.
    Created,
    /// Running.
    Running {
        /// Result of the image's own `HEALTHCHECK`.
        healthcheck: Healthcheck,
    },
    /// Ended.
    Exited {
        /// Exit code.
        code: i64,
        /// Killed for using more memory than its limit.
        out_of_memory: bool,
    },
}

/// Result of an image's own `HEALTHCHECK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Healthcheck {
    /// The image has none.
    None,
    /// No result yet.
    Starting,
    /// Passed.
    Healthy,
    /// Failed.
    Unhealthy,
}
