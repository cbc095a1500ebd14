//! A restore: a snapshot becomes a new database beside the one it was made of. Never is anything written into a database that is there. What
//! proves that the new one is the same is `proof`; whoever uses it is told so by the user, with an ordinary deployment.
//! Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::line::Recovery;
use crate::proof::{self, Failure, Findings, Next, Observation, Progress, Stage};
use havre_core::backup::SnapshotId;
use havre_core::backup::manifest::Manifest;
use havre_core::database::spec::{CPUS, DatabaseSpec, Kind, Persistence};
use havre_core::id::{BackupRunId, DatabaseId, RestoreId};
use havre_core::name::{DatabaseName, EnvironmentName, NAME_MAX, ProjectName, TargetName};
use havre_core::time::Timestamp;

/// Longest wait for the server of a new database to answer for the first time.
pub const PREPARE_MAX: std::time::Duration = std::time::Duration::from_secs(1800);

/// A row: one restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// Its id.
    pub id: RestoreId,
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The database that was saved, which may be gone.
    pub source: DatabaseName,
    /// Name of the new database.
    pub name: DatabaseName,
    /// Row of the new database, which goes when the restore fails.
    pub database: DatabaseId,
    /// Where the snapshot lies.
    pub target: TargetName,
    /// What the new database must be; with a recovery, what its files must be before the WAL changes them.
    pub manifest: Manifest,
    /// How it comes to its second; absent where a dump comes back.
    pub recovery: Option<Recovery>,
    /// Where it stands.
    pub state: State,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// Where a restore stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum State {
    /// It is under way.
    Working {
        /// How far.
        progress: Progress,
    },
    /// The new database is what was saved.
    Ready {
        /// Since when.
        at: Timestamp,
        /// What was found in it.
        findings: Findings,
    },
    /// There is no new database; what was made of it goes.
    Failed {
        /// When.
        at: Timestamp,
        /// How far it had come.
        stage: Stage,
        /// Why.
        reason: Failure,
    },
}

impl Restore {
    /// What comes back is as it was then.
    pub fn at(&self) -> Timestamp {
        self.recovery.as_ref().map_or(self.manifest.started_at, |recovery| recovery.at)
    }

    /// Whether the server of the new database has to wait, because somebody else writes on its volume.
    pub const fn holds_volume(&self) -> bool {
        let is_before = matches!(
            self.state,
            State::Working { progress: Progress::Preparing { .. } | Progress::Loading { .. } }
        );
        self.recovery.is_some() && is_before
    }
}

impl State {
    /// As it begins.
    pub const fn first(now: Timestamp) -> Self {
        Self::Working { progress: Progress::Preparing { since: now } }
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Failed { .. })
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Working { progress } => progress.stage().as_str(),
            Self::Ready { .. } => "ready",
            Self::Failed { .. } => "failed",
        }
    }
}

/// What an observation makes of a restore. One that is over stays as it is.
pub fn observe(state: &State, seen: &Observation, manifest: &Manifest, now: Timestamp) -> State {
    let State::Working { progress } = state else { return state.clone() };
    match proof::advance(progress, seen, manifest, now) {
        Ok(Next::Progress(progress)) => State::Working { progress },
        Ok(Next::Proven(findings)) => State::Ready { at: now, findings },
        Err(reason) => State::Failed { at: now, stage: progress.stage(), reason },
    }
}

/// A point in time to which something can be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The run that saved it.
    pub run: BackupRunId,
    /// Where its snapshot lies.
    pub target: TargetName,
    /// What came of that run.
    pub manifest: Manifest,
}

/// Which point somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The newest one.
    Newest,
    /// The newest one that is not younger than this.
    At(Timestamp),
    /// The one whose snapshot begins with these hex digits, in whichever target.
    Snapshot(String),
}

/// Why nothing is chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// There is no backup at all.
    #[error("there is no good backup of it")]
    None,
    /// Every one is younger.
    #[error("there is no good backup of it from {wanted} or before: the oldest is of {oldest}")]
    TooYoung {
        /// What was wanted.
        wanted: Timestamp,
        /// What there is.
        oldest: Timestamp,
    },
    /// No snapshot begins so.
    #[error("there is no good backup of it whose snapshot begins with `{0}`")]
    NoSnapshot(String),
    /// More than one does.
    #[error("more than one snapshot begins with `{0}`: say more of its digits")]
    Ambiguous(String),
    /// It cannot be the beginning of a snapshot's id.
    #[error("a snapshot is named by at least {} of the characters 0-9 and a-f", SNAPSHOT_MIN)]
    Malformed,
}

/// Fewest digits that name a snapshot.
pub const SNAPSHOT_MIN: usize = 8;

/// Chooses a point. Of two that are of the same instant the one is taken that comes first: all the same.
///
/// # Errors
/// Nothing is what was wanted.
pub fn choose<'a>(points: &'a [Point], wanted: &Wanted) -> Result<&'a Point, ChoiceError> {
    choose_of(points, wanted, |point| (point.manifest.started_at, &point.manifest.snapshot))
}

/// The same of anything that has an instant and a snapshot.
///
/// # Errors
/// Nothing is what was wanted.
pub fn choose_of<'a, T>(
    all: &'a [T],
    wanted: &Wanted,
    of: impl Fn(&T) -> (Timestamp, &SnapshotId),
) -> Result<&'a T, ChoiceError> {
    let newest = |wanted: &dyn Fn(Timestamp) -> bool| {
        let found = all.iter().filter(|one| wanted(of(one).0));
        found.reduce(|best, one| if of(one).0 > of(best).0 { one } else { best })
    };
    let oldest = all.iter().map(|one| of(one).0).min().ok_or(ChoiceError::None)?;
    match wanted {
        Wanted::Newest => newest(&|_| true).ok_or(ChoiceError::None),
        Wanted::At(at) => newest(&|found| found <= *at).ok_or(ChoiceError::TooYoung { wanted: *at, oldest }),
        Wanted::Snapshot(text) => {
            let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if !is_hex || !(SNAPSHOT_MIN..=64).contains(&text.len()) {
                return Err(ChoiceError::Malformed);
            }
            let mut found = all.iter().filter(|one| of(one).1.hex().starts_with(text));
            match (found.next(), found.next()) {
                (Some(one), None) => Ok(one),
                (None, _) => Err(ChoiceError::NoSnapshot(text.clone())),
                (Some(_), Some(_)) => Err(ChoiceError::Ambiguous(text.clone())),
            }
        }
    }
}

/// The name of a new database: that of its source, `-restored-`, and the first number nobody has. A long name is cut.
pub fn free_name(source: &DatabaseName, is_taken: impl Fn(&DatabaseName) -> bool) -> DatabaseName {
    (1_u64..)
        .map(|number| {
            let end = format!("-restored-{number}");
            let room = NAME_MAX - end.len();
            let start: String = source.as_str().chars().take(room).collect();
            format!("{}{end}", start.trim_end_matches('-'))
        })
        .map(|text| text.parse::<DatabaseName>().expect("letters of a name, a word and a number are a name"))
        .find(|name| !is_taken(name))
        .expect("there are more numbers than databases")
}

/// Why no database can be made of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

/// What the new database shall be: as its source is specified, else a server of the version that was saved. It has no backups of its own
/// until somebody asks for them, and no older server than the one that wrote the snapshot.
///
/// # Errors
/// The snapshot is of something this version does not restore.
pub fn derive_spec(
    source: Option<&DatabaseSpec>,
    source_version: &str,
    name: &DatabaseName,
) -> Result<DatabaseSpec, SpecError> {
    let (engine, saved) = server(source_version).ok_or_else(|| {
        SpecError(format!(
            "a snapshot of `{}` cannot be restored: only those of PostgreSQL, MariaDB, Redis and Valkey can",
            source_version.escape_debug()
        ))
    })?;
    let spec = match source {
        Some(spec) if spec.engine == engine && spec.version >= saved => {
            DatabaseSpec { name: name.clone(), backup: None, ..spec.clone() }
        }
        Some(_) | None => DatabaseSpec {
            name: name.clone(),
            engine,
            version: saved,
            image: None,
            memory: engine.memory_default(),
            cpus: CPUS,
            persistence: Persistence::default(),
            settings: std::collections::BTreeMap::new(),
            backup: None,
        },
    };
    match spec.problems().first() {
        Some(problem) => Err(SpecError(problem.clone())),
        None => Ok(spec),
    }
}

/// The same for files of a server: only the same major version reads them.
///
/// # Errors
/// The database has another version now.
pub fn derive_recovered(
    source: Option<&DatabaseSpec>,
    source_version: &str,
    name: &DatabaseName,
) -> Result<DatabaseSpec, SpecError> {
    let spec = derive_spec(source, source_version, name)?;
    if server(source_version) == Some((Kind::Postgres, spec.version)) {
        return Ok(spec);
    }
    let is = spec.version;
    Err(SpecError(format!(
        "files of {source_version} are of no use to PostgreSQL {is}; a dump of it can be restored"
    )))
}

/// The same of one that takes the place of its source, whose data is lost: what was promised of its backups is promised again.
///
/// # Errors
/// As [`derive_spec`].
pub fn derive_in_place(source: &DatabaseSpec, source_version: &str) -> Result<DatabaseSpec, SpecError> {
    let spec = derive_spec(Some(source), source_version, &source.name)?;
    Ok(DatabaseSpec { backup: source.backup.clone(), ..spec })
}

/// The server and the major version in `PostgreSQL 16.14` or `MariaDB 10.11.19`. Of a Redis or Valkey that did not say its version the newest
/// one is taken: it reads what older ones wrote.
fn server(source_version: &str) -> Option<(Kind, u8)> {
    let (name, number) = source_version.split_once(' ')?;
    let (kind, reads_older) = match name {
        "PostgreSQL" => (Kind::Postgres, false),
        "MariaDB" => (Kind::Mariadb, false),
        "Redis" => (Kind::Redis, true),
        "Valkey" => (Kind::Valkey, true),
        _ => return None,
    };
    if number == "?" && reads_older {
        return Some((kind, *kind.versions().last()?));
    }
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    Some((kind, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proof::tests::{AT, findings, loaded, manifest};
    use super::*;
    use havre_core::backup::policy::BackupPolicy;

    fn name(text: &str) -> DatabaseName {
        text.parse().expect("is a name")
    }

    fn point(seconds: u64, digit: char) -> Point {
        let started_at = AT.after(std::time::Duration::from_secs(seconds));
        let snapshot = digit.to_string().repeat(64).parse().expect("is an id");
        let (run, target) = (BackupRunId::new(1), "disk".parse().expect("is a name"));
        Point { run, target, manifest: Manifest { started_at, snapshot, ..manifest() } }
    }

    #[test]
    fn a_point_is_chosen_by_its_time_or_by_its_snapshot() {
        let points = [point(20, 'b'), point(30, 'c'), point(10, 'a')];
        let chosen =
            |wanted| choose(&points, &wanted).map(|point| point.manifest.snapshot.short().to_owned());
        let at = |seconds| AT.after(std::time::Duration::from_secs(seconds));
        assert_eq!(chosen(Wanted::Newest), Ok("cccccccc".to_owned()));
        assert_eq!(chosen(Wanted::At(at(29))), Ok("bbbbbbbb".to_owned()));
        assert_eq!(chosen(Wanted::At(at(20))), Ok("bbbbbbbb".to_owned()));
        assert_eq!(chosen(Wanted::At(at(9))), Err(ChoiceError::TooYoung { wanted: at(9), oldest: at(10) }));
        assert_eq!(chosen(Wanted::Snapshot("a".repeat(8))), Ok("aaaaaaaa".to_owned()));
        assert_eq!(chosen(Wanted::Snapshot("d".repeat(8))), Err(ChoiceError::NoSnapshot("d".repeat(8))));
        for wrong in ["", "aaaaaaa", "AAAAAAAA", "latest..", &"a".repeat(65)] {
            assert_eq!(chosen(Wanted::Snapshot(wrong.to_owned())), Err(ChoiceError::Malformed), "{wrong:?}");
        }
        assert_eq!(choose(&[], &Wanted::Newest), Err(ChoiceError::None));
        let twice = [point(1, 'a'), point(2, 'a')];
        let ambiguous = choose(&twice, &Wanted::Snapshot("a".repeat(8)));
        assert_eq!(ambiguous, Err(ChoiceError::Ambiguous("a".repeat(8))));
    }

    #[test]
    fn the_first_free_number_is_taken() {
        let taken = [name("db-restored-1"), name("db-restored-2")];
        assert_eq!(free_name(&name("db"), |one| taken.contains(one)), name("db-restored-3"));
        let long = name("a-very-long-name-of-a-data-base2");
        assert_eq!(free_name(&long, |_| false).as_str(), "a-very-long-name-of-a-restored-1");
    }

    #[test]
    fn the_server_is_that_of_the_source_and_never_an_older_one() {
        let json = serde_json::json!({"name": "db", "engine": "postgres", "version": 16, "memory": "1GB", "cpus": "2"});
        let source: DatabaseSpec = serde_json::from_value(json).expect("is a specification");
        let new = derive_spec(Some(&source), "PostgreSQL 16.14", &name("db-restored-1")).expect("fits");
        assert_eq!((new.name.as_str(), new.version, new.memory), ("db-restored-1", 16, source.memory));
        let newer = derive_spec(Some(&source), "PostgreSQL 17.5 (Debian 17.5-1)", &name("x")).expect("fits");
        assert_eq!((newer.version, newer.memory), (17, Kind::Postgres.memory_default()));
        let gone = derive_spec(None, "PostgreSQL 15.1", &name("x")).expect("fits");
        assert_eq!((gone.version, gone.image), (15, None));
        let of_other = derive_spec(Some(&source), "MariaDB 10.11.19-MariaDB", &name("x")).expect("fits");
        assert_eq!((of_other.engine, of_other.version, of_other.image), (Kind::Mariadb, 10, None));
        let maria: DatabaseSpec = serde_json::from_value(
            serde_json::json!({"name": "db", "engine": "mariadb", "version": 11, "memory": "1GB", "cpus": "2"}),
        )
        .expect("is a specification");
        let newer = derive_spec(Some(&maria), "MariaDB 10.11.19", &name("x")).expect("fits");
        assert_eq!((newer.version, newer.memory), (11, maria.memory));
        for wrong in [
            "MariaDB ?",
            "MariaDB 5.5.68",
            "MySQL 8.4",
            "PostgreSQL",
            "",
            "PostgreSQL 9.6",
            "PostgreSQL ?",
            "Redis 6.2.1",
            "Redis",
        ] {
            assert!(derive_spec(None, wrong, &name("x")).is_err(), "{wrong:?}");
        }
        let redis = derive_spec(Some(&source), "Redis 7.0.15", &name("x")).expect("fits");
        assert_eq!(
            (redis.engine, redis.version, redis.memory),
            (Kind::Redis, 7, Kind::Redis.memory_default())
        );
        let json = serde_json::json!({"name": "db", "engine": "valkey", "version": 8, "memory": "1GB", "cpus": "1",
            "persistence": "rdb", "backup": BackupPolicy::of_postgres()});
        let source: DatabaseSpec = serde_json::from_value(json).expect("is a specification");
        for version in ["Valkey 8.0.1", "Valkey ?"] {
            let new = derive_spec(Some(&source), version, &name("x")).expect("fits");
            assert_eq!(new, DatabaseSpec { name: name("x"), backup: None, ..source.clone() });
        }
    }

    #[test]
    fn a_restore_from_its_beginning_to_its_end() {
        let mut state = State::first(AT);
        let mut names = vec![state.name()];
        for seen in [Observation::Answers, loaded(10), Observation::Checked { findings: findings() }] {
            state = observe(&state, &seen, &manifest(), AT);
            names.push(state.name());
        }
        assert_eq!(names, ["preparing", "loading", "checking", "ready"]);
        let json = serde_json::to_string(&state).expect("is written");
        assert_eq!(serde_json::from_str::<State>(&json).expect("is read"), state);
    }

    proptest! {
        #[test]
        fn what_is_over_stays_as_it_is(bytes in 0_u64..20, is_ready in any::<bool>()) {
            let state = match is_ready {
                true => State::Ready { at: AT, findings: findings() },
                false => State::Failed { at: AT, stage: Stage::Loading, reason: Failure::Interrupted },
            };
            let later = AT.after(std::time::Duration::from_secs(1));
            for seen in [
                Observation::Answers,
                loaded(bytes),
                Observation::Checked { findings: findings() },
                Observation::Interrupted,
                Observation::Broken { reason: Failure::Interrupted },
            ] {
                prop_assert_eq!(observe(&state, &seen, &manifest(), later), state.clone());
            }
        }
    }
}
