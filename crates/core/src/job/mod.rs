//! A job: a command of a service that runs by a schedule or when somebody asks, in a task of its own. Jobs are part of the
//! service's specification and so of its releases: what runs is what the live release says. What runs when
//! is decided in `decide`.

pub mod event;
pub mod spec;
pub mod state;

use serde::{Deserialize, Serialize};

use crate::id::{JobRunId, ReleaseId, ServiceId};
use crate::name::JobName;
use crate::time::Timestamp;
use state::State;

/// A row: one run of a job, its further attempts included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// Its id; names its containers and log files.
    pub id: JobRunId,
    /// Whose job it is.
    pub service: ServiceId,
    /// Which job.
    pub job: JobName,
    /// The release whose command its last attempt ran, or its first one will.
    pub release: ReleaseId,
    /// Why it exists.
    pub trigger: Trigger,
    /// The instant of the schedule it stands for; when it was asked for, where somebody asked. A schedule has one run at most
    /// for each of its instants.
    pub planned_at: Timestamp,
    /// Instants of the schedule that went by without a run and that it stands for as well.
    pub missed: u32,
    /// Number of its last attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// Where it stands.
    pub state: State,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// Why a run exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its schedule says so.
    Schedule,
    /// Somebody asked for it.
    Hand,
}

/// How far a schedule has been dealt with. A row, so that neither a restart nor a clock that jumps back makes a run twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Schedule and time zone it belongs to, see [`spec::JobSpec::timing`].
    pub timing: String,
    /// Every instant of the schedule up to this one has its run, or will never have one.
    pub until: Timestamp,
}
