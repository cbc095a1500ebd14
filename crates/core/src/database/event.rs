//! What happened to databases.

use serde::{Deserialize, Serialize};

use crate::database::role::RoleName;
use crate::database::state::State;
use crate::id::{SwapId, TunnelId};
use crate::service::Place;
use crate::time::Timestamp;

/// A past-tense fact about one database; the subject of the event is the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Which; `service` is its name.
    pub database: Place,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What happened to a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Fact {
    /// It is wanted.
    Created,
    /// Something else is wanted of it.
    Changed {
        /// Number of the change.
        revision: u64,
    },
    /// It entered a state.
    StateChanged {
        /// Number of its task.
        task: u32,
        /// Which state.
        to: State,
    },
    /// Its task ended by itself; its last lines.
    TaskEnded {
        /// Number of the task.
        task: u32,
        /// Oldest first.
        lines: Vec<String>,
    },
    /// A service may use it.
    RoleMade {
        /// As this role.
        role: RoleName,
    },
    /// A role may use it no more.
    RoleLocked {
        /// Which.
        role: RoleName,
    },
    /// Somebody asked for a way in from elsewhere.
    TunnelOpened {
        /// The tunnel.
        tunnel: TunnelId,
        /// When it ends at the latest.
        until: Timestamp,
    },
    /// A tunnel is over, and its role is gone.
    TunnelClosed {
        /// The tunnel.
        tunnel: TunnelId,
        /// Why, for people.
        why: String,
    },
    /// A swap or an upgrade was asked for, or has come further.
    SwapChanged {
        /// The swap.
        swap: SwapId,
        /// How far, for people.
        to: String,
    },
    /// Somebody asked for it and its data to go.
    DestroyRequested,
    /// It is gone, with its data.
    Destroyed,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "database {} ", self.database.service)?;
        match &self.fact {
            Fact::Created => f.write_str("wanted"),
            Fact::Changed { revision } => write!(f, "changed (revision {revision})"),
            Fact::StateChanged { to: State::Failed { reason, .. }, .. } => write!(f, "failed: {reason}"),
            Fact::StateChanged { to: State::Stopped { why, .. }, .. } => write!(f, "stopped: {why}"),
            Fact::StateChanged { task, to: State::Starting { .. } } => write!(f, "is starting (task {task})"),
            Fact::StateChanged { to, .. } => write!(f, "is {}", to.name()),
            Fact::TaskEnded { task, lines } => match lines.last() {
                Some(last) => write!(f, "task {task} ended by itself; its last line: {last}"),
                None => write!(f, "task {task} ended by itself"),
            },
            Fact::RoleMade { role } => write!(f, "lets {} in as {role}", role.service),
            Fact::RoleLocked { role } => write!(f, "lets {role} in no more"),
            Fact::TunnelOpened { tunnel, until } => write!(f, "lets somebody in by {tunnel} until {until}"),
            Fact::TunnelClosed { tunnel, why } => write!(f, "lets nobody in by {tunnel} any more: {why}"),
            Fact::SwapChanged { swap, to } => write!(f, "{swap}: {to}"),
            Fact::DestroyRequested => f.write_str("should go with its data"),
            Fact::Destroyed => f.write_str("is gone with its data"),
        }
    }
}
