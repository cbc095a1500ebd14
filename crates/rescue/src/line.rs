//! Which seconds can be brought back. A base backup is the beginning of a line, and each stretch of WAL that follows without a gap makes it
//! longer; what lies behind a gap is out of its reach. Pure, and from rows alone. A line stays on its timeline and in one target: so it can be
//! followed by hand as well. Tests at the end of the file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wal::{Lsn, Segment};
use havre_core::backup::manifest::Manifest;
use havre_core::backup::policy::{BackupPolicy, what_of};
use havre_core::backup::retention::Keep;
use havre_core::backup::{Content, SnapshotId, What};
use havre_core::database::Database;
use havre_core::id::{BackupRunId, DatabaseId};
use havre_core::name::{DatabaseName, TargetName};
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// Time between two base backups: what a restore has to read of the WAL at most.
const BASE_EVERY: Span = Span::seconds(86_400);
/// Most intervals that are named in a sentence.
const NAMED_MAX: usize = 5;

/// What a base backup of a database is called where it is saved.
pub fn base_of(database: &Database) -> What {
    match what_of(database) {
        What::Database { project, environment, database } => What::Base { project, environment, database },
        other => other,
    }
}

/// The database of which this is the base backup.
pub fn saved_in(what: &What) -> What {
    match what {
        What::Base { project, environment, database } => What::Database {
            project: project.clone(),
            environment: environment.clone(),
            database: database.clone(),
        },
        other => other.clone(),
    }
}

/// What is promised of base backups; nothing where no WAL is kept. Which of them stay follows from the window.
pub fn base_policy(policy: &BackupPolicy) -> Option<BackupPolicy> {
    let window = policy.point_in_time?;
    let days = u32::try_from(window.as_millis() / BASE_EVERY.as_millis()).unwrap_or(u32::MAX);
    Some(BackupPolicy {
        every: BASE_EVERY,
        keep: Keep { daily: days.saturating_add(2), ..Keep::default() },
        drill: None,
        point_in_time: policy.point_in_time,
        assertions: Vec::new(),
        targets: policy.targets.clone(),
    })
}

/// Where the files of a base backup lie in the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseFacts {
    /// Their timeline.
    pub timeline: u32,
    /// The WAL they need begins here.
    pub start: Lsn,
    /// Before this they are not whole.
    pub stop: Lsn,
}

/// A good base backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The run that made it.
    pub run: BackupRunId,
    /// Where it lies.
    pub target: TargetName,
    /// What came of that run.
    pub manifest: Manifest,
    /// Row of the database: one that has its name later is another one.
    pub database: DatabaseId,
    /// Where it lies in the WAL.
    pub facts: BaseFacts,
    /// What was there at this instant is in it; nothing of before can be brought back with it.
    pub whole_at: Timestamp,
}

/// A stretch of WAL in a repository: segments without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Its row.
    pub id: i64,
    /// Where it lies.
    pub target: TargetName,
    /// Row of the database.
    pub database: DatabaseId,
    /// Its first segment.
    pub first: Segment,
    /// Number of its last one.
    pub last: u64,
    /// Everything that was committed before this instant lies in it or before it; absent where nobody knows.
    pub until: Option<Timestamp>,
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// What is in there.
    pub content: Content,
}

impl Stretch {
    /// How many segments.
    pub const fn count(&self) -> u64 {
        self.last.saturating_sub(self.first.number) + 1
    }

    fn belongs_to(&self, base: &Base) -> bool {
        self.target == base.target
            && self.database == base.database
            && self.first.timeline == base.facts.timeline
    }
}

/// Time that can be brought back, to the second: from the first instant until before the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The first.
    pub from: Timestamp,
    /// What happened before this comes back.
    pub until: Timestamp,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} until {}", self.from, self.until)
    }
}

/// How a database comes to an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The instant.
    pub at: Timestamp,
    /// The database that was saved: what is in its files is called so.
    pub source: DatabaseName,
    /// WAL, in its order.
    pub stretches: Vec<Piece>,
}

/// A snapshot of WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Which.
    pub snapshot: SnapshotId,
    /// What must be in it.
    pub content: Content,
}

/// Stretches that follow a base backup, in their order; each begins where the one before ends, or earlier.
fn follow<'a>(base: &Base, stretches: &'a [Stretch]) -> Vec<&'a Stretch> {
    let mut own: Vec<&Stretch> = stretches.iter().filter(|one| one.belongs_to(base)).collect();
    own.sort_by_key(|one| (one.first.number, one.last, one.id));
    let mut next = Segment::holding(base.facts.timeline, base.facts.start).number;
    let mut found = Vec::new();
    for one in own {
        if one.first.number <= next && one.last >= next {
            next = one.last + 1;
            found.push(one);
        }
    }
    found
}

/// The same; nothing while its files are not whole by them.
fn reach<'a>(base: &Base, stretches: &'a [Stretch]) -> Vec<&'a Stretch> {
    let found = follow(base, stretches);
    // Its files are whole only once all that happened while they were copied is there.
    let stop = Segment::holding(base.facts.timeline, Lsn(base.facts.stop.0.saturating_sub(1))).number;
    if found.last().is_some_and(|one| one.last >= stop) { found } else { Vec::new() }
}

/// What one base backup brings back, if anything.
pub(super) fn interval(base: &Base, stretches: &[Stretch]) -> Option<Interval> {
    let until = reach(base, stretches).into_iter().filter_map(|one| one.until).max()?;
    (until > base.whole_at).then_some(Interval { from: base.whole_at, until })
}

/// Every instant that can be brought back, oldest first; what touches is one.
pub fn intervals(bases: &[Base], stretches: &[Stretch]) -> Vec<Interval> {
    let mut all: Vec<Interval> = bases.iter().filter_map(|base| interval(base, stretches)).collect();
    all.sort_by_key(|one| (one.from, one.until));
    let mut joined: Vec<Interval> = Vec::new();
    for one in all {
        match joined.last_mut() {
            Some(last) if one.from <= last.until => last.until = last.until.max(one.until),
            _ => joined.push(one),
        }
    }
    joined
}

/// Why an instant cannot be brought back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} cannot be brought back: every second is there {}", said(.there))]
pub struct LineError {
    wanted: Timestamp,
    there: Vec<Interval>,
}

fn said(there: &[Interval]) -> String {
    let newest = there.iter().rev().take(NAMED_MAX).rev();
    let named: Vec<String> = newest.map(ToString::to_string).collect();
    named.join(", and ")
}

/// How to come to an instant: the newest base backup that reaches it. `None` where there is no line, or all of it is younger: then a backup of
/// that time may be there.
///
/// # Errors
/// The instant lies in a gap, or nothing is known of it yet.
pub fn resolve<'a>(
    bases: &'a [Base],
    stretches: &[Stretch],
    source: &DatabaseName,
    at: Timestamp,
) -> Result<Option<(&'a Base, Recovery)>, LineError> {
    let there = intervals(bases, stretches);
    if there.first().is_none_or(|first| at < first.from) {
        return Ok(None);
    }
    let reaches = |base: &&Base| {
        interval(base, stretches).is_some_and(|interval| interval.from <= at && at < interval.until)
    };
    let Some(base) = bases.iter().filter(reaches).max_by_key(|base| (base.whole_at, base.run)) else {
        return Err(LineError { wanted: at, there });
    };
    let mut pieces = Vec::new();
    for one in reach(base, stretches) {
        pieces.push(Piece { snapshot: one.snapshot.clone(), content: one.content.clone() });
        if one.until.is_some_and(|until| until > at) {
            break;
        }
    }
    Ok(Some((base, Recovery { at, source: source.clone(), stretches: pieces })))
}

/// Whether there is a gap between a base backup and the newest WAL at its target: then another one is due.
pub fn is_broken(base: &Base, stretches: &[Stretch]) -> bool {
    let start = Segment::holding(base.facts.timeline, base.facts.start).number;
    let own = stretches.iter().filter(|one| one.belongs_to(base) && one.last >= start);
    let Some(newest) = own.map(|one| one.last).max() else { return false };
    follow(base, stretches).last().map(|one| one.last) != Some(newest)
}

/// Base backups that no instant of the window needs: older ones than the newest that was whole when the window begins. Each is given with the
/// instant at which it was whole at the latest.
pub fn forget_bases(window: Span, bases: &[(SnapshotId, Timestamp)], now: Timestamp) -> Vec<SnapshotId> {
    let is_before = |at: Timestamp| at <= now && now.since(at) >= window.duration();
    let first = bases.iter().map(|(_, at)| *at).filter(|at| is_before(*at)).max();
    let Some(first) = first else { return Vec::new() };
    bases.iter().filter(|(_, at)| *at < first).map(|(id, _)| id.clone()).collect()
}

/// Stretches of one database at one target that no base backup there needs. Where there is none, each may be needed yet.
pub fn forget_stretches(bases: &[Base], stretches: &[Stretch]) -> Vec<i64> {
    let is_needed = |one: &Stretch| {
        let mut own = bases.iter().filter(|base| one.belongs_to(base)).peekable();
        own.peek().is_none()
            || own.any(|base| one.last >= Segment::holding(base.facts.timeline, base.facts.start).number)
    };
    stretches.iter().filter(|one| !is_needed(one)).map(|one| one.id).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::proof::tests::{AT, content, manifest};
    use super::*;
    use crate::wal::SEGMENT_BYTES;

    pub(crate) fn minute(count: u64) -> Timestamp {
        AT.after(Span::seconds(60 * count).duration())
    }

    fn id(number: u64) -> SnapshotId {
        format!("{number:064x}").parse().expect("is an id")
    }

    /// Segment `n` ends at minute `n + 1`.
    pub(crate) fn base(number: u64) -> Base {
        let start = Lsn(number * SEGMENT_BYTES + 40);
        Base {
            run: BackupRunId::new(i64::try_from(number).expect("is small") + 1),
            target: "disk".parse().expect("a name"),
            manifest: Manifest { snapshot: id(1000 + number), started_at: minute(number), ..manifest() },
            database: DatabaseId::new(3),
            facts: BaseFacts { timeline: 1, start, stop: Lsn(start.0 + 300) },
            whole_at: minute(number),
        }
    }

    pub(crate) fn stretch(first: u64, last: u64) -> Stretch {
        Stretch {
            id: i64::try_from(first * 1000 + last).expect("is small"),
            target: "disk".parse().expect("a name"),
            database: DatabaseId::new(3),
            first: Segment { timeline: 1, number: first },
            last,
            until: Some(minute(last + 1)),
            snapshot: id(first * 1000 + last),
            content: content(10, 'a'),
        }
    }

    fn chosen(bases: &[Base], stretches: &[Stretch], at: Timestamp) -> Result<Option<(u64, usize)>, String> {
        let source = "db".parse().expect("a name");
        match resolve(bases, stretches, &source, at) {
            Ok(None) => Ok(None),
            Ok(Some((base, recovery))) => {
                Ok(Some((base.facts.start.0 / SEGMENT_BYTES, recovery.stretches.len())))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_newest_base_before_an_instant_and_the_wal_up_to_it() {
        let bases = [base(2), base(10)];
        let stretches = [stretch(0, 3), stretch(4, 7), stretch(8, 12), stretch(13, 20)];
        assert_eq!(intervals(&bases, &stretches), [Interval { from: minute(2), until: minute(21) }]);
        assert_eq!(chosen(&bases, &stretches, minute(3)), Ok(Some((2, 1))));
        assert_eq!(chosen(&bases, &stretches, minute(9)), Ok(Some((2, 3))));
        assert_eq!(chosen(&bases, &stretches, minute(10)), Ok(Some((10, 1))));
        assert_eq!(chosen(&bases, &stretches, minute(20)), Ok(Some((10, 2))));
        assert_eq!(chosen(&bases, &stretches, minute(1)), Ok(None), "a backup of then may be there");
        assert_eq!(chosen(&[], &stretches, minute(3)), Ok(None));
    }

    #[test]
    fn a_gap_is_seen_and_said() {
        let bases = [base(2), base(10)];
        let stretches = [stretch(0, 5), stretch(8, 12)];
        assert!(is_broken(&bases[0], &stretches) && !is_broken(&bases[1], &stretches));
        let said = chosen(&bases, &stretches, minute(8)).expect_err("is in the gap");
        assert_eq!(
            said,
            "2025-11-24T10:08:00.000Z cannot be brought back: every second is there from 2025-11-24T10:02:00.000Z until \
             2025-11-24T10:06:00.000Z, and from 2025-11-24T10:10:00.000Z until 2025-11-24T10:13:00.000Z"
        );
        assert!(chosen(&bases, &stretches, minute(13)).is_err(), "nobody knows yet");
    }

    #[test]
    fn files_that_are_not_whole_bring_nothing_back() {
        let mut one = base(2);
        one.facts.stop = Lsn(5 * SEGMENT_BYTES + 1);
        assert!(intervals(&[one.clone()], &[stretch(2, 4)]).is_empty());
        assert_eq!(intervals(&[one], &[stretch(2, 5)]).len(), 1);
        let mut silent = stretch(2, 4);
        silent.until = None;
        assert!(intervals(&[base(2)], &[silent]).is_empty());
    }

    #[test]
    fn wal_of_others_is_no_part_of_a_line() {
        let mut others = [stretch(0, 9), stretch(0, 9), stretch(0, 9)];
        others[0].target = "bucket".parse().expect("a name");
        others[1].database = DatabaseId::new(4);
        others[2].first.timeline = 2;
        assert!(intervals(&[base(2)], &others).is_empty());
        assert!(!is_broken(&base(2), &others) && forget_stretches(&[base(8)], &others).is_empty());
    }

    #[test]
    fn base_backups_have_a_policy_of_their_own() {
        let none = BackupPolicy::of_postgres();
        assert_eq!(base_policy(&none), None);
        let week = BackupPolicy { point_in_time: Some(Span::seconds(7 * 86_400)), ..none };
        let base = base_policy(&week).expect("is promised");
        assert_eq!((base.every, base.keep.daily, base.problems()), (BASE_EVERY, 9, Vec::<String>::new()));
    }

    fn bases() -> impl Strategy<Value = Vec<Base>> {
        prop::collection::vec(0_u64..40, 0..5).prop_map(|all| all.into_iter().map(base).collect())
    }

    fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
        let one = (0_u64..40, 0_u64..6).prop_map(|(first, more)| stretch(first, first + more));
        prop::collection::vec(one, 0..15)
    }

    proptest! {
        #[test]
        fn nothing_is_promised_that_is_not_there(bases in bases(), stretches in stretches(), at in 0_u64..50) {
            let source = "db".parse().expect("a name");
            let there = intervals(&bases, &stretches);
            let is_there = there.iter().any(|one| one.from <= minute(at) && minute(at) < one.until);
            let found = resolve(&bases, &stretches, &source, minute(at));
            prop_assert_eq!(matches!(found, Ok(Some(_))), is_there);
            prop_assert!(there.windows(2).all(|pair| pair[0].until < pair[1].from));
            if let Ok(Some((base, recovery))) = found {
                let mut held = BTreeSet::new();
                for piece in &recovery.stretches {
                    let one = stretches.iter().find(|one| one.snapshot == piece.snapshot).expect("is one");
                    held.extend(one.first.number..=one.last);
                }
                let start = base.facts.start.0 / SEGMENT_BYTES;
                prop_assert!(base.whole_at <= minute(at));
                prop_assert!((start..=at).all(|number| held.contains(&number)), "{start}..={at}: {held:?}");
            }
        }

        #[test]
        fn what_the_window_needs_stays(bases in bases(), stretches in stretches(), window in 1_u64..30) {
            let source = "db".parse().expect("a name");
            let now = minute(45);
            let aged: Vec<(SnapshotId, Timestamp)> =
                bases.iter().map(|base| (base.manifest.snapshot.clone(), base.whole_at)).collect();
            let gone = forget_bases(Span::seconds(60 * window), &aged, now);
            let kept: Vec<Base> =
                bases.iter().filter(|base| !gone.contains(&base.manifest.snapshot)).cloned().collect();
            let let_go = forget_stretches(&kept, &stretches);
            let rest: Vec<Stretch> =
                stretches.iter().filter(|one| !let_go.contains(&one.id)).cloned().collect();
            prop_assert_eq!(kept.is_empty(), bases.is_empty());
            for at in (45 - window)..=45 {
                let before = resolve(&bases, &stretches, &source, minute(at)).is_ok_and(|one| one.is_some());
                let after = resolve(&kept, &rest, &source, minute(at)).is_ok_and(|one| one.is_some());
                prop_assert_eq!(before, after, "minute {}", at);
            }
        }
    }
}
