//! Jobs: commands of services that run by a schedule or when somebody asks, and their runs.

use havre_core::id::{JobRunId, ReleaseId, ServiceId};
use havre_core::job::Trigger;
use havre_core::job::spec::JobSpec;
use havre_core::job::state::State;
use havre_core::name::JobName;
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::task::LogStream;

/// The jobs of an environment, as its live releases have them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobList {
    /// By name.
    pub jobs: Vec<Job>,
}

/// A job of a live release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its name.
    #[schema(value_type = String, example = "cleanup")]
    pub name: JobName,
    /// Row of the service it belongs to.
    #[schema(value_type = String, example = "s2")]
    pub service_id: ServiceId,
    /// Names of project, environment and service.
    #[schema(value_type = crate::service::PlaceSchema)]
    pub place: Place,
    /// The live release, whose image and variables a run gets.
    #[schema(value_type = String, example = "r7")]
    pub release: ReleaseId,
    /// Its schedule, its command and its limits.
    #[schema(value_type = Object)]
    pub spec: JobSpec,
    /// The next instant of its schedule; absent without one.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// Its run that has not ended.
    pub open: Option<JobRun>,
    /// Its newest run that began and has ended.
    pub last: Option<JobRun>,
}

/// One run of a job, its further attempts included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobRun {
    /// Its id.
    #[schema(value_type = String, example = "j12")]
    pub id: JobRunId,
    /// Which job.
    #[schema(value_type = String, example = "cleanup")]
    pub job: JobName,
    /// Row of the service it belongs to.
    #[schema(value_type = String, example = "s2")]
    pub service_id: ServiceId,
    /// Names of project, environment and service.
    #[schema(value_type = crate::service::PlaceSchema)]
    pub place: Place,
    /// The release its last attempt ran, or its first one will.
    #[schema(value_type = String, example = "r7")]
    pub release: ReleaseId,
    /// `schedule` or `hand`.
    #[schema(value_type = String, example = "schedule")]
    pub trigger: Trigger,
    /// The instant of the schedule it stands for; when it was asked for, where somebody asked.
    #[schema(value_type = String, format = DateTime)]
    pub planned_at: Timestamp,
    /// Instants that went by without a run and that it stands for as well.
    pub missed: u32,
    /// Number of its last attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// When its last attempt began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Where it stands; `state.state` is its name.
    #[schema(value_type = Object, example = json!({"state": "running", "since": "2026-11-24T03:00:01.000Z"}))]
    pub state: State,
    /// Nothing will change any more.
    pub is_final: bool,
    /// Exit code of its command, where that ended by itself.
    pub exit_code: Option<i64>,
    /// Why it, or the attempt before, failed, or why it never began, for people; empty otherwise.
    pub failure: String,
    /// Why it does not go on right now, for people; empty when it does.
    pub waiting: String,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Runs of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobRunList {
    /// Newest first.
    pub runs: Vec<JobRun>,
}

/// Query of `GET /v1/job-runs/{run}/log`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct JobLogQuery {
    /// Stay connected until the run has ended.
    pub follow: bool,
}

/// One line of `GET /v1/job-runs/{run}/log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobLogEntry {
    /// When the engine got it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Number of the attempt that wrote it.
    pub attempt: u32,
    /// Where it was written to.
    pub stream: LogStream,
    /// The line; invalid UTF-8 is replaced, more than 16 KiB is cut.
    pub line: String,
}
