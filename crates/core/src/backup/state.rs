//! How far a run has come, and what follows from what was seen. Pure: whoever watches the producer and the repository says what it
//! saw, and `observe` says whether that can still become a good backup. There is one way to `good`: the producer ended well, what
//! the repository took in is what it produced, and what the repository gives back is the same again. Tests at the end of the file.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backup::manifest::Manifest;
use crate::backup::{Content, RepositoryId, SnapshotId, What};
use crate::time::Timestamp;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum State {
    /// Its producer runs, and what it writes goes into the repository at once.
    Dumping {
        /// Since when.
        since: Timestamp,
    },
    /// The producer has ended well; the repository writes the rest.
    Storing {
        /// Since when.
        since: Timestamp,
        /// What the producer wrote.
        produced: Content,
    },
    /// There is a snapshot, and all of it is read back.
    Verifying {
        /// Since when.
        since: Timestamp,
        /// What it must be.
        produced: Content,
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// It restores.
    Good {
        /// Since when.
        at: Timestamp,
        /// What it is.
        manifest: Box<Manifest>,
    },
    /// It is no backup.
    Failed {
        /// Since when.
        at: Timestamp,
        /// How far it had come.
        stage: Stage,
        /// Why.
        reason: Failure,
    },
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The producer.
    Dumping,
    /// The repository, writing.
    Storing,
    /// The repository, reading.
    Verifying,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dumping => "dumping",
            Self::Storing => "storing",
            Self::Verifying => "verifying",
        })
    }
}

/// Why a run is no backup. Its text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Failure {
    /// The producer said so, or ended with a status other than 0.
    Producer {
        /// What it said.
        reason: String,
    },
    /// The producer ended well and wrote nothing. Nothing is not worth a good backup.
    Empty,
    /// What the repository took in is not what the producer wrote.
    StoredDiffers {
        /// What the producer wrote.
        produced: Content,
        /// What the repository took in.
        stored: Content,
    },
    /// What the repository gives back is not what the producer wrote.
    ReadDiffers {
        /// What the producer wrote.
        produced: Content,
        /// What came back.
        read: Content,
    },
    /// The repository could not do its part.
    Repository {
        /// What it said.
        reason: String,
    },
    /// Havre ended while it ran, so nobody saw how it went on.
    Interrupted,
    /// Somebody stopped it.
    Cancelled,
    /// It was good, and its snapshot is not in the repository any more, although no policy has removed it.
    Gone,
    /// Something was seen that cannot come at this point. It is our bug, and the run is not trusted.
    OutOfOrder {
        /// What was seen.
        seen: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Producer { reason } => write!(f, "what should be saved could not be read: {reason}"),
            Self::Empty => f.write_str("there was nothing to save: the producer wrote no bytes"),
            Self::StoredDiffers { produced, stored } => {
                write!(f, "the producer wrote {produced}, but the repository took in {stored}")
            }
            Self::ReadDiffers { produced, read } => {
                write!(f, "the producer wrote {produced}, but the repository gives back {read}")
            }
            Self::Repository { reason } => write!(f, "the repository failed: {reason}"),
            Self::Interrupted => f.write_str("Havre ended while it ran"),
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::Gone => {
                f.write_str("its snapshot, or part of it, is not in the repository any more, and Havre has not removed it")
            }
            Self::OutOfOrder { seen } => {
                write!(f, "{seen} was seen at a point where it cannot come; please report this")
            }
        }
    }
}

/// How a producer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With the status 0, and after it had written everything.
    Succeeded,
    /// Any other way.
    Failed {
        /// What it said, at most a few lines.
        reason: String,
    },
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The producer has ended.
    Produced {
        /// How.
        exit: Exit,
        /// What it had written, counted where it was read.
        content: Content,
    },
    /// The repository has written a snapshot.
    Stored {
        /// Which.
        snapshot: SnapshotId,
        /// What it says is in there.
        content: Content,
    },
    /// All of the snapshot was read back.
    ReadBack {
        /// What came.
        content: Content,
    },
    /// The repository could not go on.
    Broken {
        /// What it said.
        reason: String,
    },
    /// Havre was started and found it unfinished.
    Interrupted,
    /// Somebody wants it to stop.
    Cancelled,
    /// The repository was asked for its snapshots, and that of this run is not among them.
    Gone,
}

impl Observation {
    const fn word(&self) -> &'static str {
        match self {
            Self::Produced { .. } => "the end of the producer",
            Self::Stored { .. } => "a new snapshot",
            Self::ReadBack { .. } => "what was read back",
            Self::Broken { .. } => "a failure of the repository",
            Self::Interrupted => "an interruption",
            Self::Cancelled => "a cancellation",
            Self::Gone => "the absence of its snapshot",
        }
    }

    /// What it says about the bytes, where it says something.
    const fn content(&self) -> Option<&Content> {
        match self {
            Self::Produced { content, .. } | Self::Stored { content, .. } | Self::ReadBack { content } => {
                Some(content)
            }
            Self::Broken { .. } | Self::Interrupted | Self::Cancelled | Self::Gone => None,
        }
    }
}

/// What is known about a run from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What is saved.
    pub what: What,
    /// Version of the program the bytes come from, as that program says it.
    pub source_version: String,
    /// Rows of each table, where they were counted.
    pub rows: BTreeMap<String, u64>,
    /// Where it goes.
    pub repository: RepositoryId,
    /// When it began.
    pub started_at: Timestamp,
}

/// What follows from one observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the run stands now.
    pub next: State,
    /// Snapshots that nobody may take for a backup: remove them.
    pub remove: Vec<SnapshotId>,
}

impl State {
    /// Whether the run is over.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Good { .. } | Self::Failed { .. })
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dumping { .. } => "dumping",
            Self::Storing { .. } => "storing",
            Self::Verifying { .. } => "verifying",
            Self::Good { .. } => "good",
            Self::Failed { .. } => "failed",
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Dumping { .. } => Stage::Dumping,
            Self::Storing { .. } => Stage::Storing,
            Self::Verifying { .. } | Self::Good { .. } => Stage::Verifying,
            Self::Failed { stage, .. } => *stage,
        }
    }

    fn snapshot(&self) -> Option<&SnapshotId> {
        match self {
            Self::Verifying { snapshot, .. } => Some(snapshot),
            Self::Dumping { .. } | Self::Storing { .. } | Self::Good { .. } | Self::Failed { .. } => None,
        }
    }
}

/// What an observation makes of a run. A run that is over stays as it is, but for one thing: a good backup that is seen to be something
/// else, or to be gone, is good no longer. Its snapshot stays then, since part of it may still be of use to somebody.
pub fn observe(state: &State, seen: &Observation, about: &About, now: Timestamp) -> Outcome {
    match state {
        State::Failed { .. } => {
            // A snapshot that comes late belongs to nothing.
            Outcome { next: state.clone(), remove: new_snapshot(seen).cloned().into_iter().collect() }
        }
        State::Good { .. } if *seen == Observation::Gone => fail(state, seen, Failure::Gone, now),
        State::Good { manifest, .. } => match seen.content() {
            Some(read) if *read != manifest.content => {
                let produced = manifest.content.clone();
                fail(state, seen, Failure::ReadDiffers { produced, read: read.clone() }, now)
            }
            _ => go_on(state.clone()),
        },
        State::Dumping { .. } | State::Storing { .. } | State::Verifying { .. } => {
            match advance(state, seen, about, now) {
                Ok(next) => go_on(next),
                Err(reason) => fail(state, seen, reason, now),
            }
        }
    }
}

fn go_on(next: State) -> Outcome {
    Outcome { next, remove: Vec::new() }
}

fn fail(state: &State, seen: &Observation, reason: Failure, now: Timestamp) -> Outcome {
    let is_good = matches!(state, State::Good { .. });
    let new = new_snapshot(seen).filter(|_| !is_good);
    let mut remove: Vec<SnapshotId> = state.snapshot().into_iter().chain(new).cloned().collect();
    remove.dedup();
    Outcome { next: State::Failed { at: now, stage: state.stage(), reason }, remove }
}

const fn new_snapshot(seen: &Observation) -> Option<&SnapshotId> {
    match seen {
        Observation::Stored { snapshot, .. } => Some(snapshot),
        _ => None,
    }
}

/// The next state of a run that is not over, or why it is no backup.
fn advance(state: &State, seen: &Observation, about: &About, now: Timestamp) -> Result<State, Failure> {
    match (state, seen) {
        (_, Observation::Broken { reason }) => Err(Failure::Repository { reason: reason.clone() }),
        (_, Observation::Interrupted) => Err(Failure::Interrupted),
        (_, Observation::Cancelled) => Err(Failure::Cancelled),
        (_, Observation::Gone) => Err(Failure::Gone),
        (State::Dumping { .. }, Observation::Produced { exit: Exit::Failed { reason }, .. }) => {
            Err(Failure::Producer { reason: reason.clone() })
        }
        (State::Dumping { .. }, Observation::Produced { exit: Exit::Succeeded, content }) => {
            if content.bytes == 0 {
                return Err(Failure::Empty);
            }
            Ok(State::Storing { since: now, produced: content.clone() })
        }
        (State::Storing { produced, .. }, Observation::Stored { snapshot, content }) => {
            if content != produced {
                return Err(Failure::StoredDiffers { produced: produced.clone(), stored: content.clone() });
            }
            Ok(State::Verifying { since: now, produced: produced.clone(), snapshot: snapshot.clone() })
        }
        (State::Verifying { produced, snapshot, .. }, Observation::ReadBack { content }) => {
            if content != produced {
                return Err(Failure::ReadDiffers { produced: produced.clone(), read: content.clone() });
            }
            let manifest = Manifest::new(about, produced, snapshot, now);
            Ok(State::Good { at: now, manifest: Box::new(manifest) })
        }
        (_, Observation::Produced { .. } | Observation::Stored { .. } | Observation::ReadBack { .. }) => {
            Err(Failure::OutOfOrder { seen: seen.word().to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_763_978_400_000);

    fn content(bytes: u64, digit: char) -> Content {
        Content { bytes, sha256: digit.to_string().repeat(64).parse().expect("is a digest") }
    }

    fn snapshot(digit: char) -> SnapshotId {
        digit.to_string().repeat(64).parse().expect("is an id")
    }

    fn about() -> About {
        About {
            what: What::Platform,
            source_version: "havre 0.1.0".to_owned(),
            rows: BTreeMap::new(),
            repository: "b".repeat(64).parse().expect("is an id"),
            started_at: AT,
        }
    }

    fn run(seen: &[Observation]) -> (State, Vec<SnapshotId>) {
        let mut state = State::Dumping { since: AT };
        let mut removed = Vec::new();
        for one in seen {
            let outcome = observe(&state, one, &about(), AT);
            state = outcome.next;
            removed.extend(outcome.remove);
        }
        (state, removed)
    }

    fn produced(content: Content) -> Observation {
        Observation::Produced { exit: Exit::Succeeded, content }
    }

    fn stored(digit: char, content: Content) -> Observation {
        Observation::Stored { snapshot: snapshot(digit), content }
    }

    fn reason(state: &State) -> String {
        match state {
            State::Failed { stage, reason, .. } => format!("{stage}: {reason}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn one_way_leads_to_good() {
        let same = || content(10, 'a');
        let (state, removed) =
            run(&[produced(same()), stored('1', same()), Observation::ReadBack { content: same() }]);
        let State::Good { manifest, .. } = state else { panic!("{state:?}") };
        assert_eq!((manifest.content, manifest.snapshot, removed), (same(), snapshot('1'), Vec::new()));
    }

    #[test]
    fn what_differs_fails_and_its_snapshot_goes() {
        let (state, removed) = run(&[produced(content(10, 'a')), stored('1', content(9, 'b'))]);
        assert_eq!(
            reason(&state),
            "storing: the producer wrote 10 bytes with the SHA-256 aaaaaaaaaaaa, but the repository took in 9 bytes with \
             the SHA-256 bbbbbbbbbbbb"
        );
        assert_eq!(removed, [snapshot('1')]);
        let back = Observation::ReadBack { content: content(10, 'b') };
        let (state, removed) = run(&[produced(content(10, 'a')), stored('1', content(10, 'a')), back]);
        assert!(reason(&state).starts_with("verifying: "), "{state:?}");
        assert_eq!(removed, [snapshot('1')]);
    }

    #[test]
    fn a_producer_that_fails_or_writes_nothing_is_no_backup() {
        let exit = Exit::Failed { reason: "exit status 1".to_owned() };
        let (state, _) = run(&[Observation::Produced { exit, content: content(10, 'a') }]);
        assert_eq!(reason(&state), "dumping: what should be saved could not be read: exit status 1");
        let (state, _) = run(&[produced(content(0, 'e'))]);
        assert_eq!(reason(&state), "dumping: there was nothing to save: the producer wrote no bytes");
    }

    #[test]
    fn a_snapshot_that_comes_after_the_failure_goes_too() {
        let (state, removed) = run(&[Observation::Cancelled, stored('1', content(10, 'a'))]);
        assert_eq!((reason(&state).as_str(), removed), ("dumping: it was cancelled", vec![snapshot('1')]));
        let (state, removed) =
            run(&[produced(content(1, 'a')), stored('1', content(1, 'a')), Observation::Interrupted]);
        assert_eq!(
            (reason(&state).as_str(), removed),
            ("verifying: Havre ended while it ran", vec![snapshot('1')])
        );
    }

    #[test]
    fn a_good_one_whose_snapshot_is_gone_is_good_no_longer() {
        let same = || content(10, 'a');
        let back = Observation::ReadBack { content: same() };
        let (state, removed) = run(&[produced(same()), stored('1', same()), back, Observation::Gone]);
        assert_eq!(
            reason(&state),
            "verifying: its snapshot, or part of it, is not in the repository any more, and Havre has not removed it"
        );
        assert_eq!(removed, Vec::new());
    }

    fn contents() -> impl Strategy<Value = Content> {
        (0_u64..3, prop::sample::select(vec!['a', 'b'])).prop_map(|(bytes, digit)| content(bytes, digit))
    }

    fn observations() -> impl Strategy<Value = Observation> {
        prop_oneof![
            4 => contents().prop_map(produced),
            1 => contents().prop_map(|content| Observation::Produced {
                exit: Exit::Failed { reason: "status 1".to_owned() },
                content
            }),
            4 => (prop::sample::select(vec!['1', '2']), contents()).prop_map(|(digit, content)| stored(digit, content)),
            4 => contents().prop_map(|content| Observation::ReadBack { content }),
            1 => Just(Observation::Broken { reason: "gone".to_owned() }),
            1 => Just(Observation::Interrupted),
            1 => Just(Observation::Cancelled),
            1 => Just(Observation::Gone),
        ]
    }

    proptest! {
        #[test]
        fn no_sequence_with_a_disagreement_ends_good(seen in prop::collection::vec(observations(), 0..8)) {
            let (state, removed) = run(&seen);
            if let State::Good { manifest, .. } = state {
                let contents: Vec<&Content> = seen.iter().filter_map(Observation::content).collect();
                prop_assert!(contents.iter().all(|one| **one == manifest.content), "{seen:?}");
                prop_assert!(contents.len() >= 3, "{seen:?}");
                prop_assert!(manifest.content.bytes > 0);
                prop_assert!(matches!(&seen[0], Observation::Produced { exit: Exit::Succeeded, .. }), "{seen:?}");
                prop_assert!(!removed.contains(&manifest.snapshot), "{seen:?}");
            }
        }

        #[test]
        fn no_snapshot_is_left_by_a_run_that_never_was_good(seen in prop::collection::vec(observations(), 0..8)) {
            let mut state = State::Dumping { since: AT };
            let mut left = std::collections::BTreeSet::new();
            let mut was_good = false;
            for one in &seen {
                let outcome = observe(&state, one, &about(), AT);
                // One that is seen after the run was good belongs to no run; nobody makes such a thing.
                if let (Observation::Stored { snapshot, .. }, false) = (one, was_good) {
                    left.insert(snapshot.clone());
                }
                for removed in &outcome.remove {
                    left.remove(removed);
                }
                state = outcome.next;
                was_good |= matches!(state, State::Good { .. });
            }
            if !was_good && matches!(state, State::Failed { .. }) {
                prop_assert!(left.is_empty(), "{seen:?} leaves {left:?}");
            }
        }
    }
}
