//! What becomes of the WAL that a server has handed out: it lies in a folder on the volume of the server, the spool, until every target has it.
//! Pure: what lies there and what targets have in, what goes where out. Tests at the end of the file.
//!
//! A snapshot for each segment would make lists of thousands an hour. So what a target has last is written again with what came since, as long
//! as it is short and still lies in the spool; the repository stores no byte twice for it. Once it is long it is closed, and leaves the spool.

use std::collections::BTreeSet;
use std::fmt;

use crate::line::Stretch;
use crate::tar::Watch;
use crate::wal::{SEGMENT_BYTES, Segment, WalFile, check_segment};
use havre_core::name::TargetName;
use havre_core::quantity::{ByteSize, Span};
use havre_core::time::Timestamp;

/// Segments after which a snapshot is closed.
pub const CLOSED_AT: u64 = 16;
/// Most segments of one snapshot: a gigabyte.
pub const BATCH_MAX: u64 = 64;
/// Bytes that may wait on the volume of a server. A database that stops because a bucket does not answer would be worse than a line with a gap.
pub const SPOOL_MAX: ByteSize = ByteSize::mebibytes(4096);
/// Time between two marks: with what it takes to hand one out and to store it, less than a minute is lost.
const MARK_EVERY: Span = Span::seconds(30);
/// Segments in the spool above which a server that does nothing is not made to hand out more.
const MARKS_UP_TO: usize = 48;
/// Age of what a target has from which on it is behind.
const BEHIND_AFTER: Span = Span::seconds(300);

/// A target, and the newest stretches of one database that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub target: TargetName,
    /// Whether it can be used.
    pub is_usable: bool,
    /// What it has of the timeline, oldest first; at least what the spool has as well, and the newest.
    pub stretches: Vec<Stretch>,
}

/// Segments for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Which.
    pub target: TargetName,
    /// The first.
    pub first: Segment,
    /// Number of the last one.
    pub last: u64,
    /// The row whose place it takes.
    pub replaces: Option<i64>,
    /// Every file that goes into it, in the order of their names.
    pub files: Vec<WalFile>,
}

/// What to do with a spool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Stored, at most one for each target.
    pub store: Vec<Batch>,
    /// Removed: every target has it for good.
    pub remove: Vec<WalFile>,
    /// Removed as well, oldest first, because there is no more room: not every target has it.
    pub lose: Vec<WalFile>,
}

/// Chooses. The oldest timeline in the spool goes first.
pub fn plan(spool: &BTreeSet<WalFile>, held: &[Held]) -> Plan {
    let Some(timeline) = spool.iter().map(|file| file.timeline()).min() else { return Plan::default() };
    let numbers: BTreeSet<u64> = spool.iter().filter_map(|file| number(*file, timeline)).collect();
    let usable = held.iter().filter(|one| one.is_usable);
    let store = usable.filter_map(|one| batch(spool, &numbers, one, timeline)).collect();
    let is_held = |at: &u64| !held.is_empty() && held.iter().all(|one| is_closed(one, timeline, *at));
    let done: BTreeSet<u64> = numbers.iter().copied().filter(is_held).collect();
    let rest: Vec<u64> = numbers.difference(&done).copied().collect();
    let room = usize::try_from(SPOOL_MAX.as_bytes() / SEGMENT_BYTES).unwrap_or(usize::MAX);
    let lost: BTreeSet<u64> = rest.iter().take(rest.len().saturating_sub(room)).copied().collect();
    // What only describes segments goes with them; a history also where its timeline has nothing left.
    let with = |gone: &BTreeSet<u64>| {
        let goes = |file: &&WalFile| match **file {
            WalFile::Segment(one) => one.timeline == timeline && gone.contains(&one.number),
            WalFile::Label { segment, .. } => {
                let is_left = numbers.contains(&segment.number) && !gone.contains(&segment.number);
                segment.timeline == timeline && !is_left && (!gone.is_empty() || numbers.is_empty())
            }
            WalFile::History { timeline: of } => of == timeline && (!gone.is_empty() || numbers.is_empty()),
        };
        spool.iter().filter(goes).copied().collect::<Vec<WalFile>>()
    };
    let remove = with(&done);
    let lose = with(&lost).into_iter().filter(|file| !remove.contains(file)).collect();
    Plan { store, remove, lose }
}

fn number(file: WalFile, timeline: u32) -> Option<u64> {
    match file {
        WalFile::Segment(segment) if segment.timeline == timeline => Some(segment.number),
        WalFile::Segment(_) | WalFile::Label { .. } | WalFile::History { .. } => None,
    }
}

fn of(one: &Held, timeline: u32) -> impl DoubleEndedIterator<Item = &Stretch> {
    one.stretches.iter().filter(move |stretch| stretch.first.timeline == timeline)
}

/// Whether a target has a segment in a stretch that is not written again.
fn is_closed(one: &Held, timeline: u32, at: u64) -> bool {
    let newest = of(one, timeline).map(|stretch| stretch.last).max();
    of(one, timeline).any(|stretch| {
        let has_it = (stretch.first.number..=stretch.last).contains(&at);
        has_it && (stretch.count() >= CLOSED_AT || Some(stretch.last) != newest)
    })
}

fn batch(spool: &BTreeSet<WalFile>, numbers: &BTreeSet<u64>, one: &Held, timeline: u32) -> Option<Batch> {
    let newest = of(one, timeline).max_by_key(|stretch| (stretch.last, stretch.id));
    let open = newest.filter(|stretch| {
        let mut own = stretch.first.number..=stretch.last;
        stretch.count() < CLOSED_AT && own.all(|at| numbers.contains(&at))
    });
    let first = match (open, newest) {
        (Some(open), _) => open.first.number,
        (None, Some(newest)) => *numbers.range(newest.last + 1..).next()?,
        (None, None) => *numbers.first()?,
    };
    let most = first.saturating_add(BATCH_MAX);
    let last = (first..most).take_while(|at| numbers.contains(at)).last()?;
    if open.is_some_and(|open| open.last == last) {
        return None;
    }
    let goes = |file: &&WalFile| match **file {
        WalFile::Segment(one) => one.timeline == timeline && (first..=last).contains(&one.number),
        // One is handed out when its backup ends, long after the segment it is named after.
        WalFile::Label { segment, .. } => segment.timeline == timeline && segment.number <= last,
        WalFile::History { timeline: of } => of == timeline,
    };
    Some(Batch {
        target: one.target.clone(),
        first: Segment { timeline, number: first },
        last,
        replaces: open.map(|open| open.id),
        files: spool.iter().filter(goes).copied().collect(),
    })
}

/// A commit of ours, and the segment it lies in: everything of before its instant lies there or earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Before this.
    pub at: Timestamp,
    /// The segment.
    pub segment: Segment,
}

/// Whether another mark is to be made. None is while the spool fills: a server that does nothing then hands nothing out.
pub fn is_mark_due(last: Option<Timestamp>, spooled: usize, now: Timestamp) -> bool {
    let is_old = last.is_none_or(|last| last > now || now.since(last) >= MARK_EVERY.duration());
    is_old && spooled <= MARKS_UP_TO
}

/// Up to when everything lies in segments up to this one.
pub fn until(marks: &[Mark], timeline: u32, last: u64) -> Option<Timestamp> {
    let within = |mark: &&Mark| mark.segment.timeline == timeline && mark.segment.number <= last;
    marks.iter().filter(within).map(|mark| mark.at).max()
}

/// What is wrong with the WAL of a database. Its text is a sentence without its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There was no more room, and part of it was let go.
    Lost {
        /// How many segments.
        count: usize,
    },
    /// It fills its room.
    Fills {
        /// What waits.
        bytes: u64,
    },
    /// Targets do not have what happened minutes ago.
    Behind {
        /// Which, each with the newest instant it has.
        targets: Vec<(TargetName, Option<Timestamp>)>,
    },
}

impl Trouble {
    /// Its name: a change of it is told, and a change of its numbers is not.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Fills { .. } => "fills",
            Self::Behind { .. } => "behind",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { count } => write!(
                f,
                "{count} segments were removed before every target had them, because {SPOOL_MAX} waited on the disk of the \
                 database; seconds of then are missing until the next base backup is good"
            ),
            Self::Fills { bytes } => write!(
                f,
                "{} of {SPOOL_MAX} wait on the disk of the database, because a target does not take them; when that is full, \
                 the oldest go",
                ByteSize::bytes(*bytes)
            ),
            Self::Behind { targets } => {
                let named = targets.iter().map(|(target, newest)| match newest {
                    Some(newest) => format!("{target} has nothing of after {newest}"),
                    None => format!("{target} has nothing"),
                });
                f.write_str(&named.collect::<Vec<String>>().join(", "))
            }
        }
    }
}

/// Judges a spool: what waits in it, and up to when each target has everything. `since` is when WAL was first wanted of this server.
pub fn judge(
    plan: &Plan,
    waiting: usize,
    newest: &[(TargetName, Option<Timestamp>)],
    since: Timestamp,
    now: Timestamp,
) -> Option<Trouble> {
    let count = plan.lose.iter().filter(|file| matches!(file, WalFile::Segment(_))).count();
    if count > 0 {
        return Some(Trouble::Lost { count });
    }
    let bytes = (waiting as u64).saturating_mul(SEGMENT_BYTES);
    if bytes.saturating_mul(2) >= SPOOL_MAX.as_bytes() {
        return Some(Trouble::Fills { bytes });
    }
    let is_behind = |at: &Option<Timestamp>| {
        let at = at.map_or(since, |at| at.max(since));
        at <= now && now.since(at) > BEHIND_AFTER.duration()
    };
    let targets: Vec<_> = newest.iter().filter(|(_, at)| is_behind(at)).cloned().collect();
    if targets.is_empty() { None } else { Some(Trouble::Behind { targets }) }
}

/// An eye on a batch on its way: every file that should be in it is, once, and each segment is the one its name says.
#[derive(Debug, Clone)]
pub struct BatchWatch {
    tar: Watch,
    missing: BTreeSet<WalFile>,
    wrong: Option<String>,
}

impl BatchWatch {
    /// On these files.
    pub fn new(files: &[WalFile]) -> Self {
        Self { tar: Watch::default(), missing: files.iter().copied().collect(), wrong: None }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { tar, missing, wrong } = self;
        let read = tar.push(bytes, |entry| {
            let found = match entry.name.parse::<WalFile>() {
                Ok(file) if missing.remove(&file) => match file {
                    WalFile::Segment(segment) => check_segment(segment, entry.size, &entry.head),
                    WalFile::Label { .. } | WalFile::History { .. } => Ok(()),
                },
                Ok(file) => Err(format!("{file} came, and was not asked for")),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = found {
                wrong.get_or_insert(reason);
            }
        });
        if let Err(reason) = read {
            wrong.get_or_insert(reason);
        }
    }

    /// Whether all of it came; why not, in words.
    ///
    /// # Errors
    /// Something is missing, or is something else.
    pub fn finish(self) -> Result<(), String> {
        match (self.wrong, self.missing.first()) {
            (Some(reason), _) => Err(reason),
            (None, Some(file)) => Err(format!("{file} did not come")),
            (None, None) if !self.tar.is_whole() => Err("the end of the tar did not come".to_owned()),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proof::tests::{AT, content};
    use super::super::tar::tests::tar;
    use super::super::wal::tests::{head, segment};
    use super::*;

    fn target(name: &str) -> TargetName {
        name.parse().expect("a name")
    }

    fn stretch(first: u64, last: u64) -> Stretch {
        Stretch {
            id: i64::try_from(first * 1000 + last).expect("is small"),
            target: target("disk"),
            database: havre_core::id::DatabaseId::new(1),
            first: segment(first),
            last,
            until: None,
            snapshot: "1".repeat(64).parse().expect("an id"),
            content: content(1, 'a'),
        }
    }

    fn held(name: &str, is_usable: bool, stretches: &[(u64, u64)]) -> Held {
        let stretches = stretches.iter().map(|(first, last)| stretch(*first, *last)).collect();
        Held { target: target(name), is_usable, stretches }
    }

    fn spool(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<WalFile> {
        numbers.into_iter().map(|number| WalFile::Segment(segment(number))).collect()
    }

    fn said(plan: &Plan) -> Vec<String> {
        let range = |batch: &Batch| {
            format!("{}: {}..{} for {:?}", batch.target, batch.first.number, batch.last, batch.replaces)
        };
        let mut lines: Vec<String> = plan.store.iter().map(range).collect();
        lines.push(format!("{} go, {} are lost", plan.remove.len(), plan.lose.len()));
        lines
    }

    #[test]
    fn what_came_since_is_written_with_what_was_there() {
        let disk = |has: &[(u64, u64)]| [held("disk", true, has)];
        assert_eq!(said(&plan(&spool(5..8), &disk(&[]))), ["disk: 5..7 for None", "0 go, 0 are lost"]);
        assert_eq!(said(&plan(&spool(5..8), &disk(&[(5, 7)]))), ["0 go, 0 are lost"]);
        let more = plan(&spool(5..9), &disk(&[(5, 7)]));
        assert_eq!(said(&more), ["disk: 5..8 for Some(5007)", "0 go, 0 are lost"]);
        let closed = plan(&spool(5..22), &disk(&[(5, 20)]));
        assert_eq!(said(&closed), ["disk: 21..21 for None", "16 go, 0 are lost"]);
        assert_eq!(said(&plan(&spool(0..100), &disk(&[]))), ["disk: 0..63 for None", "0 go, 0 are lost"]);
        // Somebody has removed part of what was open: the rest is one of its own.
        assert_eq!(said(&plan(&spool(7..9), &disk(&[(5, 7)]))), ["disk: 8..8 for None", "0 go, 0 are lost"]);
    }

    #[test]
    fn a_target_that_is_away_is_waited_for() {
        let both = [held("disk", true, &[(0, 15), (16, 20)]), held("bucket", false, &[(0, 3)])];
        assert_eq!(said(&plan(&spool(0..21), &both)), ["0 go, 0 are lost"]);
        let back = [held("disk", true, &[(0, 15), (16, 20)]), held("bucket", true, &[(0, 3)])];
        assert_eq!(said(&plan(&spool(0..21), &back)), ["bucket: 0..20 for Some(3)", "0 go, 0 are lost"]);
    }

    #[test]
    fn when_there_is_no_room_the_oldest_go_and_it_is_said() {
        let away = [held("bucket", false, &[])];
        let full = plan(&spool(0..300), &away);
        assert_eq!(said(&full), ["0 go, 44 are lost"]);
        assert_eq!(full.lose.first(), Some(&WalFile::Segment(segment(0))));
        let nobody = plan(&spool(0..257), &[]);
        assert_eq!(said(&nobody), ["0 go, 1 are lost"]);
        let said = judge(&full, 256, &[], AT, AT).expect("is told").to_string();
        assert!(said.starts_with("44 segments were removed before every target had them"), "{said}");
        let half = judge(&Plan::default(), 128, &[], AT, AT).expect("is told").to_string();
        assert!(half.starts_with("2GB of 4GB wait on the disk"), "{half}");
        assert_eq!(judge(&Plan::default(), 127, &[], AT, AT), None);
    }

    #[test]
    fn a_target_without_the_last_minutes_is_behind() {
        let later = |seconds| AT.after(Span::seconds(seconds).duration());
        let newest = [(target("disk"), Some(later(500))), (target("bucket"), Some(AT))];
        assert_eq!(judge(&Plan::default(), 0, &newest, AT, later(300)), None);
        let told = judge(&Plan::default(), 0, &newest, AT, later(301)).expect("is told");
        assert_eq!(told.to_string(), "bucket has nothing of after 2025-11-24T10:00:00.000Z");
        assert_eq!(
            judge(&Plan::default(), 0, &newest, later(100), later(301)),
            None,
            "it was not wanted before"
        );
    }

    #[test]
    fn descriptions_go_with_what_they_describe() {
        let mut files = spool(0..17);
        let label = WalFile::Label { segment: segment(3), offset: 40 };
        files.extend([label, WalFile::History { timeline: 1 }]);
        let first = plan(&files, &[held("disk", true, &[])]);
        assert_eq!((first.store[0].files.len(), first.remove.len()), (19, 0));
        let later = plan(&files, &[held("disk", true, &[(0, 16)])]);
        assert!(later.store.is_empty());
        assert_eq!((later.remove.len(), later.remove.contains(&label)), (19, true));
    }

    #[test]
    fn marks_say_up_to_when_everything_is_there() {
        let later = |seconds| AT.after(Span::seconds(seconds).duration());
        let marks = [Mark { at: AT, segment: segment(4) }, Mark { at: later(40), segment: segment(6) }];
        assert_eq!(
            (until(&marks, 1, 3), until(&marks, 1, 5), until(&marks, 1, 9)),
            (None, Some(AT), Some(later(40)))
        );
        assert_eq!(until(&marks, 2, 9), None);
        assert!(is_mark_due(None, 0, AT) && is_mark_due(Some(AT), 0, later(30)));
        assert!(!is_mark_due(Some(AT), 0, later(29)) && !is_mark_due(None, 49, AT));
        assert!(is_mark_due(Some(later(3600)), 0, AT), "a clock was set back");
    }

    fn segments(numbers: &[u64]) -> Vec<(String, Vec<u8>)> {
        let whole = |number: u64| {
            let mut bytes = head(segment(number));
            bytes.resize(usize::try_from(SEGMENT_BYTES).expect("fits"), 0);
            (segment(number).to_string(), bytes)
        };
        numbers.iter().map(|number| whole(*number)).collect()
    }

    fn watched(wanted: &[u64], came: &[(String, Vec<u8>)]) -> Result<(), String> {
        let files: Vec<WalFile> = wanted.iter().map(|one| WalFile::Segment(segment(*one))).collect();
        let named: Vec<(&str, Vec<u8>)> =
            came.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        let mut watch = BatchWatch::new(&files);
        tar(&named).chunks(100_000).for_each(|part| watch.push(part));
        watch.finish()
    }

    #[test]
    fn what_comes_must_be_what_was_asked_for() {
        assert_eq!(watched(&[1, 2], &segments(&[1, 2])), Ok(()));
        assert!(watched(&[1, 2], &segments(&[1])).is_err_and(|said| said.ends_with("did not come")));
        assert!(watched(&[1], &segments(&[1, 2])).is_err_and(|said| said.ends_with("was not asked for")));
        let mut cut = segments(&[1]);
        cut[0].1.pop();
        assert!(watched(&[1], &cut).is_err());
        let mut other = segments(&[1]);
        other[0].0 = segment(2).to_string();
        assert!(watched(&[2], &other).is_err_and(|said| said.contains("does not begin")));
        let part = [(".000000010000000000000001.part".to_owned(), vec![1])];
        assert!(watched(&[], &part).is_err());
    }

    proptest! {
        #[test]
        fn nothing_goes_that_somebody_has_not(
            numbers in prop::collection::btree_set(0_u64..60, 0..40),
            ends in prop::collection::vec(1_u64..30, 0..3),
            is_usable in any::<bool>(),
        ) {
            let mut stretches = Vec::new();
            let mut next = 0;
            for length in ends {
                stretches.push((next, next + length - 1));
                next += length;
            }
            let all = [held("disk", true, &stretches), held("bucket", is_usable, &stretches[..stretches.len() / 2])];
            let found = plan(&spool(numbers.clone()), &all);
            prop_assert!(found.lose.is_empty(), "there is room");
            for file in &found.remove {
                let WalFile::Segment(gone) = file else { continue };
                for one in &all {
                    let has = one.stretches.iter().any(|is| (is.first.number..=is.last).contains(&gone.number));
                    prop_assert!(has, "{} has no {gone}", one.target);
                }
            }
            for batch in &found.store {
                prop_assert!((batch.first.number..=batch.last).all(|at| numbers.contains(&at)));
                prop_assert!(batch.last - batch.first.number < BATCH_MAX);
                prop_assert!(is_usable || batch.target == target("disk"));
                // What is written again loses nothing that was in it.
                for one in all.iter().filter(|one| one.target == batch.target) {
                    let before = one.stretches.iter().find(|stretch| Some(stretch.id) == batch.replaces);
                    prop_assert!(before.is_none_or(|is| batch.first == is.first && batch.last > is.last));
                }
            }
        }
    }
}
