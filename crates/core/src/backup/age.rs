//! Whether a copy is too old. Pure, and from rows alone: whoever looks gets the same answer, the loop that tells of it once as well as
//! somebody who asks, so that a loop that stands still hides nothing. Tests at the end of the file.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backup::What;
use crate::backup::plan::CLOCK_STEP;
use crate::name::TargetName;
use crate::quantity::Span;
use crate::time::Timestamp;

/// A copy is too old when it is older than this many times what is promised: one run may fail, two in a row are worth an alarm.
const TIMES: u64 = 2;
/// Longest time something may go without any copy: a promise of a month is not silent for two.
const NEVER_MAX: Span = Span::seconds(86_400);

/// What is promised of one thing at one target, and what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// What.
    pub what: What,
    /// Where.
    pub target: TargetName,
    /// Most time between two copies.
    pub every: Span,
    /// Since when it is promised: thing, target and promise were there.
    pub since: Timestamp,
    /// When the run of the newest good copy began.
    pub newest: Option<Timestamp>,
}

/// What is wrong with a copy. Its text is a sentence without its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Alarm {
    /// There never was one.
    Never {
        /// What is promised.
        every: Span,
    },
    /// The newest one is too old.
    Old {
        /// When its run began.
        newest: Timestamp,
        /// What is promised.
        every: Span,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never { every } => write!(f, "there is no copy, and one every {every} is promised"),
            Self::Old { newest, every } => {
                write!(f, "the newest copy is of {newest}, and one every {every} is promised")
            }
        }
    }
}

/// Judges one promise.
pub fn judge(promise: &Promise, now: Timestamp) -> Option<Alarm> {
    let every = promise.every;
    let most = Duration::from_millis(every.as_millis().saturating_mul(TIMES));
    match promise.newest {
        // What a clock wrote that was far ahead says nothing about its age: it counts from the promise.
        Some(newest) if newest > now.after(CLOCK_STEP.duration()) => {
            (now.since(promise.since) > most).then_some(Alarm::Old { newest, every })
        }
        Some(newest) => (now.since(newest) > most).then_some(Alarm::Old { newest, every }),
        None => {
            let least = every.duration().min(NEVER_MAX.duration());
            (now.since(promise.since) > least).then_some(Alarm::Never { every })
        }
    }
}

/// One promise that was kept and is not any more, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub what: What,
    /// Where.
    pub target: TargetName,
    /// What is wrong; nothing where it is well again.
    pub alarm: Option<Alarm>,
}

/// What to tell: of each promise once when it is broken, and once when it is kept again. `known` are those that were told to be broken.
/// One that is promised no more is forgotten without a word.
pub fn changes(known: &[(What, TargetName)], promises: &[Promise], now: Timestamp) -> Vec<Change> {
    let mut changes = Vec::new();
    for promise in promises {
        let alarm = judge(promise, now);
        let was_told = known.iter().any(|(what, target)| *what == promise.what && *target == promise.target);
        if alarm.is_some() != was_told {
            changes.push(Change { what: promise.what.clone(), target: promise.target.clone(), alarm });
        }
    }
    changes
}

/// Those of `known` that nothing is promised about any more.
pub fn forgotten(known: &[(What, TargetName)], promises: &[Promise]) -> Vec<(What, TargetName)> {
    let is_promised = |what: &What, target: &TargetName| {
        promises.iter().any(|promise| promise.what == *what && promise.target == *target)
    };
    known.iter().filter(|(what, target)| !is_promised(what, target)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_978_400_000);
    const HOUR: Span = Span::seconds(3600);

    fn hours(count: i64) -> Timestamp {
        Timestamp::from_millis(NOW.as_millis() + count * 3_600_000)
    }

    fn promise(newest: Option<i64>) -> Promise {
        Promise {
            what: What::Platform,
            target: "disk".parse().expect("a name"),
            every: HOUR,
            since: hours(-100),
            newest: newest.map(hours),
        }
    }

    fn said(promise: &Promise) -> Option<String> {
        judge(promise, NOW).map(|alarm| alarm.to_string())
    }

    #[test]
    fn twice_the_promise_is_too_old() {
        assert_eq!(said(&promise(Some(-2))), None);
        assert_eq!(
            said(&promise(Some(-3))).as_deref(),
            Some("the newest copy is of 2025-11-24T07:00:00.000Z, and one every 1h is promised")
        );
    }

    #[test]
    fn a_promise_without_any_copy_is_broken_soon() {
        assert_eq!(said(&promise(None)).as_deref(), Some("there is no copy, and one every 1h is promised"));
        assert_eq!(judge(&Promise { since: hours(-1), ..promise(None) }, NOW), None);
        let month = Promise { every: Span::seconds(30 * 86_400), ..promise(None) };
        assert!(judge(&Promise { since: hours(-25), ..month.clone() }, NOW).is_some());
        assert_eq!(judge(&Promise { since: hours(-24), ..month }, NOW), None);
    }

    #[test]
    fn a_copy_of_the_future_hides_nothing() {
        assert!(said(&promise(Some(24 * 365))).is_some());
        assert_eq!(said(&promise(Some(1))), None);
    }

    #[test]
    fn each_change_is_told_once() {
        let late = [promise(None)];
        let told = changes(&[], &late, NOW);
        assert_eq!(told.len(), 1);
        let known = [(told[0].what.clone(), told[0].target.clone())];
        assert_eq!(changes(&known, &late, NOW), Vec::new());
        let well = [promise(Some(0))];
        let told = changes(&known, &well, NOW);
        assert_eq!((told.len(), &told[0].alarm), (1, &None));
        assert_eq!(changes(&[], &well, NOW), Vec::new());
        assert_eq!((changes(&known, &[], NOW), forgotten(&known, &[])), (Vec::new(), known.to_vec()));
        assert!(forgotten(&known, &late).is_empty());
    }
}
