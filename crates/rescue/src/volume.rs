//! Volumes of services: which of them are saved, and how one comes back. A restore makes a new volume of the same service, and never writes
//! into one that is there; a service uses it once its configuration says so. A load that nobody goes on with is begun again, in a volume that is
//! made anew. Tests at the end of the file.

use havre_core::backup::manifest::Manifest;
use havre_core::backup::policy::{VolumeBackup, VolumeMode};
use havre_core::backup::{Content, What};
use havre_core::id::{ServiceId, VolumeRestoreId};
use havre_core::name::{NAME_MAX, TargetName, VolumeName};
use havre_core::quantity::Span;
use havre_core::service::spec::ServiceSpec;
use havre_core::service::{Place, Service};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tree::Tree;

/// Longest time tasks are paused while a volume of theirs is read: nobody is answered meanwhile.
pub const PAUSE_MAX: Span = Span::seconds(900);
/// Most volumes that restores have made for one service: each is as large as what was saved.
pub const RESTORED_MAX: usize = 20;

/// What a volume is called where it is saved.
pub fn what_of(place: &Place, volume: &VolumeName) -> What {
    What::Volume {
        project: place.project.clone(),
        environment: place.environment.clone(),
        service: place.service.clone(),
        volume: volume.clone(),
    }
}

/// Volumes of a service that are saved, with what is promised for each. Those of previews are copies that come and go; what is on its way out
/// has no promises.
pub fn saved_of(service: &Service) -> Vec<(VolumeName, VolumeBackup)> {
    if service.destroyed_at.is_some() || service.place.environment.pull().is_some() {
        return Vec::new();
    }
    let volumes = service.spec.tasks().map(|work| work.volumes.as_slice()).unwrap_or_default();
    volumes.iter().filter_map(|volume| Some((volume.name.clone(), volume.backup.clone()?))).collect()
}

/// Whether tasks of this specification have a volume of that name.
pub fn has_volume(spec: &ServiceSpec, volume: &VolumeName) -> bool {
    spec.tasks().is_some_and(|work| work.volumes.iter().any(|one| one.name == *volume))
}

/// What is wrong with what is promised for a volume, for people; empty when nothing is.
pub fn problems(backup: &VolumeBackup) -> Vec<String> {
    let policy = &backup.policy;
    let mut problems = policy.problems();
    if policy.drill.is_some() || policy.point_in_time.is_some() || !policy.assertions.is_empty() {
        problems.push("`drill`, `point_in_time` and `assert` are of databases".to_owned());
    }
    problems
}

/// What a manifest says of the program the bytes come from: how still the volume was.
pub const fn source_version(mode: VolumeMode) -> &'static str {
    match mode {
        VolumeMode::Plain => "volume (plain)",
        VolumeMode::Pause => "volume (pause)",
    }
}

/// The name of a new volume: that of its source, `-restored-`, and the first number nobody has. A long name is cut.
pub fn free_name(source: &VolumeName, is_taken: impl Fn(&VolumeName) -> bool) -> VolumeName {
    (1_u64..)
        .map(|number| {
            let end = format!("-restored-{number}");
            let start: String = source.as_str().chars().take(NAME_MAX - end.len()).collect();
            format!("{}{end}", start.trim_end_matches('-'))
        })
        .map(|text| text.parse::<VolumeName>().expect("letters of a name, a word and a number are a name"))
        .find(|name| !is_taken(name))
        .expect("there are more numbers than volumes")
}

/// A row: one restore into a new volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRestore {
    /// Its id.
    pub id: VolumeRestoreId,
    /// The service that gets the volume.
    pub service: ServiceId,
    /// Where that is, by names.
    pub place: Place,
    /// The volume that was saved, which may be gone.
    pub source: VolumeName,
    /// The new one.
    pub volume: VolumeName,
    /// Where the snapshot lies.
    pub target: TargetName,
    /// What comes back.
    pub manifest: Manifest,
    /// Where it stands.
    pub state: State,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// Where such a restore stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum State {
    /// Nothing is made yet.
    Waiting {
        /// Since when.
        since: Timestamp,
    },
    /// The files go into the new volume.
    Loading {
        /// Since when.
        since: Timestamp,
    },
    /// All went in; what is there is read.
    Checking {
        /// Since when.
        since: Timestamp,
        /// What went in.
        loaded: Tree,
    },
    /// The new volume holds what was saved.
    Ready {
        /// Since when.
        at: Timestamp,
        /// What is in it.
        found: Tree,
    },
    /// There is no new volume.
    Failed {
        /// When.
        at: Timestamp,
        /// How far it had come.
        stage: String,
        /// Why, for people.
        reason: String,
    },
}

impl State {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Loading { .. } => "loading",
            Self::Checking { .. } => "checking",
            Self::Ready { .. } => "ready",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Failed { .. })
    }

    /// For people: what became of it.
    pub fn outcome(&self) -> String {
        match self {
            Self::Waiting { .. } | Self::Loading { .. } | Self::Checking { .. } => self.name().to_owned(),
            Self::Ready { found, .. } => format!("it holds what was saved: {found}"),
            Self::Failed { stage, reason, .. } => format!("failed while {stage}: {reason}"),
        }
    }
}

/// What was seen of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Somebody begins with it.
    Begun,
    /// Nobody is at the load that was begun.
    Interrupted,
    /// All went in.
    Loaded {
        /// The bytes that came out of the repository.
        content: Content,
        /// The files in them.
        tree: Tree,
    },
    /// The new volume was read.
    Checked {
        /// What is in it.
        tree: Tree,
    },
    /// It cannot go on.
    Broken {
        /// Why, for people.
        reason: String,
    },
}

/// What an observation makes of a restore. One that is over stays as it is; what comes at a point where it cannot come is a failure.
pub fn observe(state: &State, seen: &Observation, manifest: &Manifest, now: Timestamp) -> State {
    let failed = |reason: String| State::Failed { at: now, stage: state.name().to_owned(), reason };
    match (state, seen) {
        (State::Ready { .. } | State::Failed { .. }, _) => state.clone(),
        (_, Observation::Broken { reason }) => failed(reason.clone()),
        (State::Waiting { .. }, Observation::Begun) => State::Loading { since: now },
        (State::Loading { .. }, Observation::Interrupted) => State::Waiting { since: now },
        (State::Loading { .. }, Observation::Loaded { content, tree }) => {
            if *content != manifest.content {
                return failed(format!("{content} came out, {} were saved", manifest.content));
            }
            if tree.rows() != manifest.rows {
                let saved: u64 = manifest.rows.values().sum();
                return failed(format!("{} entries came out, {saved} were saved", tree.entries()));
            }
            State::Checking { since: now, loaded: tree.clone() }
        }
        (State::Checking { loaded, .. }, Observation::Checked { tree }) if tree == loaded => {
            State::Ready { at: now, found: tree.clone() }
        }
        (State::Checking { loaded, .. }, Observation::Checked { tree }) => {
            failed(format!("the new volume holds {tree}, and {loaded} went in"))
        }
        (
            State::Waiting { .. } | State::Loading { .. } | State::Checking { .. },
            Observation::Begun
            | Observation::Interrupted
            | Observation::Loaded { .. }
            | Observation::Checked { .. },
        ) => failed("something came at a point where it cannot come".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proof::tests::{AT, manifest};
    use super::*;
    use havre_core::backup::policy::BackupPolicy;

    fn tree(files: u64, digit: char) -> Tree {
        let digest = digit.to_string().repeat(64).parse().expect("is a digest");
        Tree { files, folders: 1, links: 0, others: 0, bytes: 10, digest }
    }

    fn saved() -> Manifest {
        Manifest { rows: tree(2, 'a').rows(), ..manifest() }
    }

    fn loaded() -> Observation {
        Observation::Loaded { content: saved().content, tree: tree(2, 'a') }
    }

    fn run(seen: &[Observation]) -> State {
        let first = State::Waiting { since: AT };
        seen.iter().fold(first, |state, one| observe(&state, one, &saved(), AT))
    }

    #[test]
    fn one_way_leads_to_a_volume() {
        let checked = || Observation::Checked { tree: tree(2, 'a') };
        let ready = State::Ready { at: AT, found: tree(2, 'a') };
        assert_eq!(run(&[Observation::Begun, loaded(), checked()]), ready);
        let again = [Observation::Begun, Observation::Interrupted, Observation::Begun, loaded(), checked()];
        assert_eq!(run(&again), ready);
    }

    #[test]
    fn what_differs_leaves_none() {
        let other = Content { bytes: 1, ..saved().content };
        let wrong = Observation::Loaded { content: other, tree: tree(2, 'a') };
        assert!(run(&[Observation::Begun, wrong]).outcome().starts_with("failed while loading: 1 bytes"));
        let fewer = Observation::Loaded { content: saved().content, tree: tree(1, 'a') };
        assert_eq!(
            run(&[Observation::Begun, fewer]).outcome(),
            "failed while loading: 2 entries came out, 3 were saved"
        );
        let changed = Observation::Checked { tree: tree(2, 'b') };
        assert_eq!(
            run(&[Observation::Begun, loaded(), changed]).outcome(),
            "failed while checking: the new volume holds 3 entries with 10 bytes (bbbbbbbbbbbb), and 3 entries with 10 bytes \
             (aaaaaaaaaaaa) went in"
        );
        assert!(run(&[loaded()]).is_over());
    }

    #[test]
    fn only_databases_have_drills() {
        let usual = VolumeBackup { mode: VolumeMode::Pause, policy: BackupPolicy::of_postgres() };
        assert_eq!(problems(&usual), Vec::<String>::new());
        let policy =
            BackupPolicy { every: Span::seconds(60), drill: Some(Span::seconds(7200)), ..usual.policy };
        assert_eq!(problems(&VolumeBackup { policy, ..usual }).len(), 2);
    }

    #[test]
    fn a_new_name_is_one_nobody_has() {
        let name = |text: &str| text.parse::<VolumeName>().expect("is a name");
        assert_eq!(free_name(&name("data"), |_| false).as_str(), "data-restored-1");
        assert_eq!(
            free_name(&name("data"), |name| name.as_str() == "data-restored-1").as_str(),
            "data-restored-2"
        );
        assert!(free_name(&name(&"x".repeat(NAME_MAX)), |_| false).as_str().ends_with("x-restored-1"));
    }

    fn observations() -> impl Strategy<Value = Observation> {
        let trees = prop::sample::select(vec![tree(2, 'a'), tree(2, 'b'), tree(1, 'a')]);
        prop_oneof![
            3 => Just(Observation::Begun),
            1 => Just(Observation::Interrupted),
            3 => (0_u64..2, trees.clone()).prop_map(|(more, tree)| {
                let content = saved().content;
                Observation::Loaded { content: Content { bytes: content.bytes + more, ..content }, tree }
            }),
            3 => trees.prop_map(|tree| Observation::Checked { tree }),
            1 => Just(Observation::Broken { reason: "gone".to_owned() }),
        ]
    }

    proptest! {
        #[test]
        fn a_volume_is_ready_only_with_what_was_saved(seen in prop::collection::vec(observations(), 0..8)) {
            if let State::Ready { found, .. } = run(&seen) {
                prop_assert_eq!(found.rows(), saved().rows);
                let is_right = |one: &Observation| {
                    matches!(one, Observation::Loaded { content, tree } if *content == saved().content && *tree == found)
                };
                prop_assert!(seen.iter().any(is_right), "{:?}", seen);
                let checked = Observation::Checked { tree: found.clone() };
                prop_assert!(seen.contains(&checked));
            }
        }
    }
}
