//! What is known of a build beside its state: when it was at work, and how much of it came from the cache. Tests at the end of the
//! file.

use serde::{Deserialize, Serialize};

use crate::build::State;
use crate::time::Timestamp;

/// A part of a build's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// When it began to work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it stopped working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Its steps, as far as it came.
    #[serde(skip_serializing_if = "Steps::is_empty")]
    pub steps: Steps,
}

/// Steps of a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Steps {
    /// That were done.
    pub total: u32,
    /// That were done before, and taken from the cache.
    pub cached: u32,
}

impl Steps {
    /// There were none, or nobody counted.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Counts one more.
    pub fn count(&mut self, was_cached: bool) {
        self.total = self.total.saturating_add(1);
        self.cached = self.cached.saturating_add(u32::from(was_cached));
    }
}

impl Report {
    /// Notes that the build enters a state.
    pub fn enter(&mut self, to: &State, at: Timestamp) {
        if let State::Running { since } = to {
            self.started_at = Some(*since);
            self.ended_at = None;
        } else if self.started_at.is_some() && self.ended_at.is_none() {
            self.ended_at = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_time_at_work_is_noted() {
        let mut report = Report::default();
        report.enter(&State::Queued, at(1));
        assert_eq!(report, Report::default());
        report.enter(&State::Running { since: at(2) }, at(2));
        assert_eq!((report.started_at, report.ended_at), (Some(at(2)), None));
        report.enter(&State::Passed { at: at(5) }, at(5));
        report.enter(&State::Cancelled { at: at(9) }, at(9));
        assert_eq!((report.started_at, report.ended_at), (Some(at(2)), Some(at(5))), "the first end counts");
    }

    #[test]
    fn one_that_never_worked_has_no_times() {
        let mut report = Report::default();
        report.enter(&State::Cancelled { at: at(9) }, at(9));
        assert_eq!(serde_json::to_string(&report).expect("JSON"), "{}");
        assert_eq!(serde_json::from_str::<Report>("{}").expect("a report"), report);
    }
}
