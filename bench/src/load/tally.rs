//! What can go wrong with a request, each way counted by itself. It judges nothing. Tests at the end of the file and in
//! the self-test, which plants every failure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde::ser::SerializeMap;

use super::histogram::{Histogram, Percentiles};

/// How a request failed. Nothing is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Failure {
    /// Nobody listens.
    Refused,
    /// No connection for another reason, such as a reset while connecting.
    NotConnected,
    /// No connection in time.
    ConnectTimeout,
    /// Written on a kept connection that then closed without a byte of an answer.
    RaceClosed,
    /// The same with a reset.
    RaceReset,
    /// A new connection closed without a byte of an answer.
    ClosedBeforeAnswer,
    /// A new connection was reset without a byte of an answer.
    ResetBeforeAnswer,
    /// Closed after the first and before the last byte of the answer.
    ClosedMidAnswer,
    /// Reset after the first and before the last byte of the answer.
    ResetMidAnswer,
    /// No complete answer in time.
    Timeout,
    /// The answer breaks HTTP; [`Tally::malformed`] says how.
    Malformed,
    /// Complete, but not 2xx; [`Tally::statuses`] says which.
    Status,
}

impl Failure {
    pub(crate) const ALL: [Self; 12] = [
        Self::Refused,
        Self::NotConnected,
        Self::ConnectTimeout,
        Self::RaceClosed,
        Self::RaceReset,
        Self::ClosedBeforeAnswer,
        Self::ResetBeforeAnswer,
        Self::ClosedMidAnswer,
        Self::ResetMidAnswer,
        Self::Timeout,
        Self::Malformed,
        Self::Status,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotConnected => "not_connected",
            Self::ConnectTimeout => "connect_timeout",
            Self::RaceClosed => "race_closed",
            Self::RaceReset => "race_reset",
            Self::ClosedBeforeAnswer => "closed_before_answer",
            Self::ResetBeforeAnswer => "reset_before_answer",
            Self::ClosedMidAnswer => "closed_mid_answer",
            Self::ResetMidAnswer => "reset_mid_answer",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Status => "status",
        }
    }
}

/// Failures by kind; all kinds are in the JSON, the absent ones as zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failures([u64; Failure::ALL.len()]);

impl Failures {
    pub(crate) fn of(&self, failure: Failure) -> u64 {
        self.0[failure as usize]
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The kinds that happened.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (Failure, u64)> {
        Failure::ALL.into_iter().map(|kind| (kind, self.of(kind))).filter(|(_, count)| *count > 0)
    }
}

impl Serialize for Failures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Failure::ALL.len()))?;
        for kind in Failure::ALL {
            map.serialize_entry(kind.name(), &self.of(kind))?;
        }
        map.end()
    }
}

/// Counts of one run of load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Requests that were begun; each is either in `ok` or in `failures`.
    pub(crate) requests: u64,
    /// Complete legal answers with status 2xx.
    pub(crate) ok: u64,
    pub(crate) failures: Failures,
    /// Answers other than 2xx by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Broken answers by what is wrong.
    pub(crate) malformed: BTreeMap<&'static str, u64>,
    /// Due by the rate, but not begun when the time was up: the load was below the rate.
    pub(crate) not_started: u64,
    /// Connections begun, for fresh and kept ones.
    pub(crate) connections: u64,
    /// Kept connections that the server closed between requests: legal, no failure.
    pub(crate) idle_closed: u64,
    /// Kept connections that were reset between requests.
    pub(crate) idle_resets: u64,
    /// Kept connections on which bytes came that nobody had asked for.
    pub(crate) idle_bytes: u64,
    /// Connections whose TLS session continued an earlier one.
    pub(crate) resumed: u64,
    /// Bodies of good answers.
    pub(crate) body_bytes: u64,
    /// Of good answers; from the intended start where a rate is given.
    pub(crate) latency: Histogram,
    /// From the first start to the last end.
    pub(crate) elapsed: Duration,
}

impl Tally {
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failures.0[failure as usize] += 1;
    }

    /// Every reset that was seen, between requests too.
    pub(crate) fn resets(&self) -> u64 {
        let kinds = [Failure::RaceReset, Failure::ResetBeforeAnswer, Failure::ResetMidAnswer];
        kinds.iter().map(|kind| self.failures.of(*kind)).sum::<u64>() + self.idle_resets
    }

    /// Nothing failed, nothing was reset, nothing came unasked.
    pub(crate) fn is_clean(&self) -> bool {
        self.failures.total() == 0 && self.idle_resets == 0 && self.idle_bytes == 0
    }

    pub(crate) fn report(&self) -> LoadReport {
        let seconds = self.elapsed.as_secs_f64();
        LoadReport {
            seconds,
            requests: self.requests,
            ok: self.ok,
            ok_per_second: if seconds > 0.0 { self.ok as f64 / seconds } else { 0.0 },
            failed: self.failures.total(),
            failures: self.failures.clone(),
            statuses: self.statuses.clone(),
            malformed: self.malformed.clone(),
            resets: self.resets(),
            not_started: self.not_started,
            connections: self.connections,
            idle_closed: self.idle_closed,
            idle_resets: self.idle_resets,
            idle_bytes: self.idle_bytes,
            resumed: self.resumed,
            body_bytes: self.body_bytes,
            latency_ms: self.latency.percentiles(),
        }
    }
}

/// A tally as JSON; the names are those of [`Tally`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    pub(crate) ok_per_second: f64,
    pub(crate) failed: u64,
    pub(crate) failures: Failures,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) malformed: BTreeMap<&'static str, u64>,
    pub(crate) resets: u64,
    pub(crate) not_started: u64,
    pub(crate) connections: u64,
    pub(crate) idle_closed: u64,
    pub(crate) idle_resets: u64,
    pub(crate) idle_bytes: u64,
    pub(crate) resumed: u64,
    pub(crate) body_bytes: u64,
    pub(crate) latency_ms: Percentiles,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_counted_by_itself_and_shown_even_when_zero() {
        for (index, kind) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{} is at its place", kind.name());
            let mut tally = Tally::default();
            tally.fail(kind);
            assert!(!tally.is_clean());
            let json = serde_json::to_value(tally.report()).unwrap();
            for other in Failure::ALL {
                assert_eq!(json["failures"][other.name()], u64::from(other == kind));
            }
            assert_eq!(json["failed"], 1);
            let is_reset = kind.name().contains("reset");
            assert_eq!(json["resets"], u64::from(is_reset), "{}", kind.name());
        }
    }

    #[test]
    fn trouble_between_requests_is_not_clean_but_a_polite_close_is() {
        assert!(Tally { idle_closed: 3, ..Tally::default() }.is_clean());
        assert!(!Tally { idle_resets: 1, ..Tally::default() }.is_clean());
        assert!(!Tally { idle_bytes: 1, ..Tally::default() }.is_clean());
        assert_eq!(Tally { idle_resets: 2, ..Tally::default() }.resets(), 2);
    }
}
