//! A database: PostgreSQL, MariaDB, Redis or Valkey, run by Havre for the services of one environment. `role` says how services prove who they are.
//! What comes next, settings and what services are told are decided in `decide`. Backups are not here. Tests at the end of the files.

pub mod event;
pub mod role;
pub mod setting;
pub mod spec;
pub mod state;
pub mod task;

use serde::{Deserialize, Serialize};

use crate::artifact::{Digest, ImageRef};
use crate::id::{DatabaseId, EnvironmentId};
use crate::name::{EnvironmentName, ProjectName};
use crate::service::Place;
use crate::time::Timestamp;
use role::RoleName;
use spec::DatabaseSpec;
use state::State;

/// A row: what is wanted of a database, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its id; names its volume and its tasks.
    pub id: DatabaseId,
    /// The environment it belongs to.
    pub environment: EnvironmentId,
    /// Its project, by name.
    pub project: ProjectName,
    /// Its environment, by name.
    pub environment_name: EnvironmentName,
    /// What is wanted.
    pub spec: DatabaseSpec,
    /// Grows by one with every change of `spec`.
    pub revision: u64,
    /// The revision its present task was started for.
    pub started_revision: u64,
    /// Number of its present task, from 1: each is a new container on the same volume.
    pub task: u32,
    /// What its present task runs; absent until that is known.
    pub image: Option<Image>,
    /// When it first answered.
    pub ready_at: Option<Timestamp>,
    /// Where it stands.
    pub state: State,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// An image by its digest, with where it can be had again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The engine's own id of it.
    pub id: Digest,
    /// Where it can be pulled from; absent for one that only this machine has.
    pub pull: Option<ImageRef>,
}

impl Database {
    /// Where it belongs, as of a service: it answers to its name on the network of its environment.
    pub fn place(&self) -> Place {
        Place {
            project: self.project.clone(),
            environment: self.environment_name.clone(),
            service: (&self.spec.name).into(),
        }
    }

    /// The state people see: what has never answered is still being made.
    pub const fn shown_state(&self) -> &'static str {
        match (&self.state, self.ready_at) {
            (State::Starting { .. } | State::Stopped { .. }, None) => "creating",
            (state, _) => state.name(),
        }
    }
}

/// A row: how one service proves to one database who it is. Its password is sealed in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name in the database.
    pub name: RoleName,
    /// Where it stands.
    pub state: RoleState,
}

/// Where a role stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RoleState {
    /// The database does not know it yet.
    Wanted,
    /// The database knows it, and tasks that start get it.
    Made,
    /// Another one took its place; tasks that started before still use it.
    Replaced {
        /// When.
        at: Timestamp,
    },
}
