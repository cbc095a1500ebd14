//! What a user says about one job, defaults included: part of the specification of its service. `havre.toml` is turned into
//! it by `havre_manifest`. Tests: `tests/it/job`.

use havre_schedule::{Schedule, Zone};
use serde::{Deserialize, Serialize};

use crate::quantity::Span;
use crate::service::spec::Argv;
use crate::time::Timestamp;

/// Longest run of one attempt, when nothing is said.
pub const TIMEOUT: Span = Span::seconds(3600);
/// Shortest of these.
pub const TIMEOUT_MIN: Span = Span::seconds(1);
/// Longest of these.
pub const TIMEOUT_MAX: Span = Span::seconds(7 * 86_400);
/// Most further attempts.
pub const RETRIES_MAX: u32 = 10;
/// Runs kept, when nothing is said.
pub const KEEP: u32 = 20;
/// Most runs kept.
pub const KEEP_MAX: u32 = 1000;
/// Most jobs of one environment.
pub const JOBS_MAX: usize = 200;

/// One job of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// When it runs; only when somebody asks, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Whose clock the schedule is read from.
    #[serde(default, skip_serializing_if = "Zone::is_utc")]
    pub timezone: Zone,
    /// What runs.
    pub command: Argv,
    /// Longest run of one attempt.
    pub timeout: Span,
    /// Further attempts after one that failed.
    pub retries: u32,
    /// What becomes of instants that went by while nothing could run.
    pub missed: Missed,
    /// Runs whose rows and logs are kept.
    pub keep: u32,
}

/// What becomes of instants of a schedule that went by while nothing could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// One run for all of them, as soon as possible.
    #[default]
    RunOnce,
    /// Nothing: the next instant counts.
    Skip,
}

impl JobSpec {
    /// Schedule and time zone as one text: a [`crate::job::Cursor`] is worth nothing for another one.
    pub fn timing(&self) -> Option<String> {
        self.schedule.as_ref().map(|schedule| format!("{schedule} {}", self.timezone))
    }

    /// Instants of its schedule behind `after`; `None` without a schedule.
    pub fn occurrences(&self, after: Timestamp) -> Option<impl Iterator<Item = Timestamp> + use<>> {
        let instants = self.schedule.as_ref()?.occurrences(&self.timezone, after.as_millis());
        Some(instants.map(Timestamp::from_millis))
    }

    /// When it runs next.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.occurrences(after)?.next()
    }
}
