//! A drill: the newest snapshot is restored into a server that nobody can reach and that is thrown away, compared with what was saved, and
//! timed. Where every second is kept, that is done in turn with a base backup and the WAL behind it (`aim`, `recovery`). What proves that it is the same is `proof`; what stays of it is a report. Whatever comes out, the server and its volume go before
//! the drill is over. Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::aim::Aim;
use crate::keys;
use crate::proof::{self, Failure, Findings, Next, Observation, Progress, Stage};
use havre_core::backup::manifest::Manifest;
use havre_core::database::Image;
use havre_core::database::spec::{DatabaseSpec, Kind, PIDS, STOP_GRACE};
use havre_core::database::task::{NO_SERVICE, Superuser, env, secrets, stop_signal, volume_path};
use havre_core::id::{DrillId, EnvironmentId};
use havre_core::name::{DatabaseName, EnvironmentName, ProjectName, TargetName};
use havre_core::quantity::{ByteSize, Span};
use havre_core::route::settings::auth::SecretDigest;
use havre_core::secret::Secret;
use havre_core::secret::variables::Variables;
use havre_core::service::Place;
use havre_core::task::spec::{NO_RELEASE, Purpose, TaskSpec};
use havre_core::time::Timestamp;
use havre_decide::database::tuning;

/// Most memory of a drill of PostgreSQL or MariaDB, whatever its database has: it runs beside it.
pub const MEMORY_MAX: ByteSize = ByteSize::mebibytes(1024);
/// Images want one. It keeps nobody out, and has nobody to keep out: whoever is inside is let in by the socket, or by this, and nobody else
/// gets there.
const PASSWORD: &str = "nobody-reaches-it";
/// SHA-256 of it, as Redis and Valkey know it.
const PASSWORD_DIGEST: SecretDigest = SecretDigest::new([
    0x09, 0xcf, 0x17, 0x84, 0x53, 0x67, 0x1b, 0xdb, 0x52, 0x00, 0xaf, 0x4e, 0xa4, 0x50, 0x33, 0x45, 0x11,
    0xa1, 0x49, 0x92, 0x86, 0xbd, 0x87, 0xa8, 0xeb, 0x31, 0xeb, 0xc0, 0x1a, 0xc1, 0x3b, 0x93,
]);
/// Longest wait for its server to answer.
pub const PREPARE_MAX: Span = Span::seconds(900);
/// Pause before a drill that Havre interrupted itself is tried again.
pub const TRY_AGAIN: Span = Span::seconds(600);

/// A row: one drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// Its id; names its task and its volume.
    pub id: DrillId,
    /// The environment of the database.
    pub environment_id: EnvironmentId,
    /// Its project, by name.
    pub project: ProjectName,
    /// Its environment, by name.
    pub environment: EnvironmentName,
    /// The database whose backup it tries.
    pub database: DatabaseName,
    /// Where the snapshot lies.
    pub target: TargetName,
    /// What the copy must be.
    pub manifest: Manifest,
    /// What the server is.
    pub spec: DatabaseSpec,
    /// The image the database runs; absent where it runs none, then it is looked for by its name.
    pub image: Option<Image>,
    /// What users want to be true of the copy.
    pub assertions: Vec<String>,
    /// The second it brings back out of a base backup and WAL; absent where it loads a dump.
    pub aim: Option<Aim>,
    /// Whether the policy asked for it, and nobody else.
    pub is_scheduled: bool,
    /// Where it stands.
    pub state: State,
    /// What came of it, once it is over.
    pub report: Option<Signed>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// How a drill brings its database back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The newest dump is loaded.
    Dump,
    /// A server reads WAL into the files of a base backup, up to a second.
    PointInTime,
}

impl Method {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::PointInTime => "point in time",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Dump => Self::PointInTime,
            Self::PointInTime => Self::Dump,
        }
    }
}

impl Drill {
    /// How it brings its database back.
    pub const fn method(&self) -> Method {
        match self.aim {
            Some(_) => Method::PointInTime,
            None => Method::Dump,
        }
    }

    /// The instant whose data comes back.
    pub fn at(&self) -> Timestamp {
        self.aim.as_ref().map_or(self.manifest.started_at, |aim| aim.recovery.at)
    }

    /// How far what can be brought back in this way lay behind when it was asked for: what would have been lost then.
    pub fn rpo_measured_ms(&self) -> u64 {
        let newest = self.aim.as_ref().map_or(self.manifest.started_at, |aim| aim.newest);
        u64::try_from(self.created_at.since(newest).as_millis()).unwrap_or(u64::MAX)
    }
}

/// The one text of a report, and what proves that this installation wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The text, see `Report::canonical`.
    pub text: String,
    /// HMAC-SHA256 of it under a key of the installation, in hex.
    pub signature: String,
}

/// Where a drill stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum State {
    /// It is under way.
    Working {
        /// How far.
        progress: Progress,
    },
    /// Its verdict is known; its server and its volume are thrown away.
    Cleaning {
        /// Since when.
        since: Timestamp,
        /// What it came to.
        verdict: Verdict,
    },
    /// The snapshot restores.
    Passed {
        /// When.
        at: Timestamp,
    },
    /// It does not, or nobody could see whether it does.
    Failed {
        /// When.
        at: Timestamp,
        /// How far it had come.
        stage: Stage,
        /// Why.
        reason: Failure,
    },
}

/// What a drill came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", deny_unknown_fields)]
pub enum Verdict {
    /// The copy is what was saved.
    Passed {
        /// What was found in it.
        findings: Findings,
        /// From its beginning until the copy was whole.
        rto_measured_ms: u64,
    },
    /// It is not.
    Failed {
        /// How far it had come.
        stage: Stage,
        /// Why.
        reason: Failure,
    },
}

impl State {
    /// As it begins.
    pub const fn first(now: Timestamp) -> Self {
        Self::Working { progress: Progress::Preparing { since: now } }
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Failed { .. })
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Working { progress } => progress.stage().as_str(),
            Self::Cleaning { .. } => "cleaning",
            Self::Passed { .. } => "passed",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether it failed for a reason that says nothing about the backup.
    pub const fn is_interrupted(&self) -> bool {
        match self {
            Self::Failed { reason, .. } => reason.is_interruption(),
            Self::Working { .. } | Self::Cleaning { .. } | Self::Passed { .. } => false,
        }
    }
}

/// What an observation makes of a drill that began at `begun_at`. One with a verdict stays as it is.
pub fn observe(
    state: &State,
    seen: &Observation,
    manifest: &Manifest,
    begun_at: Timestamp,
    now: Timestamp,
) -> State {
    let State::Working { progress } = state else { return state.clone() };
    let verdict = match proof::advance(progress, seen, manifest, now) {
        Ok(Next::Progress(progress)) => return State::Working { progress },
        Ok(Next::Proven(findings)) => {
            let whole_at = match progress {
                Progress::Preparing { since }
                | Progress::Loading { since }
                | Progress::Starting { since, .. }
                | Progress::Checking { since, .. } => *since,
            };
            let took = whole_at.since(begun_at).as_millis();
            Verdict::Passed { findings, rto_measured_ms: u64::try_from(took).unwrap_or(u64::MAX) }
        }
        Err(reason) => Verdict::Failed { stage: progress.stage(), reason },
    };
    State::Cleaning { since: now, verdict }
}

/// Where a drill stands once nothing is left of its server; `None` while it has no verdict, or has been over before.
pub fn cleaned(state: &State, now: Timestamp) -> Option<State> {
    match state {
        State::Cleaning { verdict: Verdict::Passed { .. }, .. } => Some(State::Passed { at: now }),
        State::Cleaning { verdict: Verdict::Failed { stage, reason }, .. } => {
            Some(State::Failed { at: now, stage: *stage, reason: reason.clone() })
        }
        State::Working { .. } | State::Passed { .. } | State::Failed { .. } => None,
    }
}

/// What is known of the drills of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// When the newest one was asked for.
    pub created_at: Timestamp,
    /// Whether it is over.
    pub is_over: bool,
    /// Whether it was interrupted.
    pub is_interrupted: bool,
    /// How it brought its database back.
    pub method: Method,
}

/// How the next drill by the policy brings its database back: in turn, as far as there is something for it; nothing where there is nothing. One
/// that was interrupted is done again.
pub fn turn(last: Option<Past>, has_dump: bool, has_line: bool) -> Option<Method> {
    match (has_dump, has_line) {
        (false, false) => None,
        (true, false) => Some(Method::Dump),
        (false, true) => Some(Method::PointInTime),
        (true, true) => Some(match last {
            None => Method::Dump,
            Some(last) if last.is_interrupted => last.method,
            Some(last) => last.method.other(),
        }),
    }
}

/// When the next drill is due by its policy; `None` while one is under way.
pub fn due_at(every: Span, last: Option<Past>, now: Timestamp) -> Option<Timestamp> {
    match last {
        None => Some(now),
        Some(last) if !last.is_over => None,
        // A clock that was set back must not hold drills up.
        Some(last) if last.created_at > now => Some(now),
        Some(last) if last.is_interrupted => Some(last.created_at.after(TRY_AGAIN.min(every).duration())),
        Some(last) => Some(last.created_at.after(every.duration())),
    }
}

/// Container name of a drill.
pub fn drill_container(drill: &Drill) -> String {
    format!("havre-{}-drill-{}-{}-{}", drill.id, drill.database, drill.environment, drill.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Engine's name of the volume of a drill.
pub fn drill_volume(id: DrillId) -> String {
    format!("havre-{id}-data")
}

/// Where a drill belongs.
pub fn drill_place(drill: &Drill) -> Place {
    Place {
        project: drill.project.clone(),
        environment: drill.environment.clone(),
        service: (&drill.database).into(),
    }
}

/// Describes the container of a drill: without any network, so that nothing of what it holds can leave it and nobody can take it for the
/// database.
pub fn derive_drill(drill: &Drill, image: &Image) -> TaskSpec {
    let spec = derive_server(&drill.spec);
    // The digest is for servers that have no other way to keep strangers out.
    let superuser = Superuser { password: Secret::from(PASSWORD), digest: PASSWORD_DIGEST };
    let command = tuning::command(&spec, &superuser.digest, &[]);
    let mut env = env(&spec);
    let told = secrets(&spec, &superuser);
    env.extend(told.iter().filter_map(|(name, value)| Some((name.clone(), value.expose_text()?.to_owned()))));
    TaskSpec {
        name: drill_container(drill),
        place: drill_place(drill),
        service: NO_SERVICE,
        environment: drill.environment_id,
        release: NO_RELEASE,
        purpose: Purpose::Drill { drill: drill.id },
        image: image.id.clone(),
        command: Some(command),
        env,
        secrets: Variables::default(),
        edge_address: None,
        memory: spec.memory,
        cpus: spec.cpus,
        pids: PIDS,
        volumes: vec![(drill_volume(drill.id), volume_path(spec.engine))],
        has_databases: false,
        stop_signal: stop_signal(spec.engine),
        stop_grace: STOP_GRACE,
    }
}

/// Of a PostgreSQL or MariaDB most lies on the disk, and a copy hands no WAL out; a Redis or Valkey needs the memory its data needs.
pub(super) fn derive_server(spec: &DatabaseSpec) -> DatabaseSpec {
    match spec.engine {
        Kind::Postgres | Kind::Mariadb => {
            DatabaseSpec { memory: spec.memory.min(MEMORY_MAX), backup: None, ..spec.clone() }
        }
        Kind::Redis | Kind::Valkey => keys::filling(spec),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::line::Recovery;
    use super::super::proof::tests::{AT, findings, loaded, manifest};
    use super::*;
    use havre_core::name::EnvKey;
    use havre_core::service::spec::StopSignal;

    pub(crate) fn drill() -> Drill {
        let json = serde_json::json!({"name": "db", "engine": "postgres", "version": 15, "memory": "2GB", "cpus": "1"});
        Drill {
            id: DrillId::new(3),
            environment_id: EnvironmentId::new(1),
            project: "shop".parse().expect("a name"),
            environment: "production".parse().expect("a name"),
            database: "db".parse().expect("a name"),
            target: "disk".parse().expect("a name"),
            manifest: manifest(),
            spec: serde_json::from_value(json).expect("is a specification"),
            image: None,
            assertions: vec!["select true".to_owned()],
            aim: None,
            is_scheduled: true,
            state: State::first(AT),
            report: None,
            created_at: AT,
            ended_at: None,
        }
    }

    fn later(seconds: u64) -> Timestamp {
        AT.after(Span::seconds(seconds).duration())
    }

    #[test]
    fn a_drill_meets_no_network_and_has_a_volume_of_its_own() {
        let image = Image { id: "a".repeat(64).parse().expect("a digest"), pull: None };
        let task = derive_drill(&drill(), &image);
        assert_eq!(task.name, "havre-x3-drill-db-production-shop");
        assert_eq!((task.private_network(), task.edge_address), (None, None));
        assert!(task.is_alone());
        assert_eq!(task.volumes[0].0, "havre-x3-data");
        assert_eq!(task.memory, MEMORY_MAX);
        assert_eq!(task.env.len(), 4);
        assert_eq!(task.secrets.iter().count(), 0);
        let json = serde_json::json!({"name": "db", "engine": "mariadb", "version": 11, "memory": "512MB", "cpus": "1"});
        let spec = serde_json::from_value(json).expect("is a specification");
        let task = derive_drill(&Drill { spec, ..drill() }, &image);
        let names: Vec<&str> = task.env.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["MARIADB_DATABASE", "MARIADB_ROOT_HOST", "MARIADB_ROOT_PASSWORD", "MYSQL_PWD"]);
        assert!(task.is_alone());
    }

    #[test]
    fn a_drill_of_redis_keeps_nothing_and_drops_nothing() {
        let json = serde_json::json!({"name": "db", "engine": "redis", "version": 7, "memory": "4GB", "cpus": "1",
            "settings": {"maxmemory-policy": "allkeys-lru", "databases": "32"}});
        let spec: DatabaseSpec = serde_json::from_value(json).expect("is a specification");
        let memory = spec.memory;
        let image = Image { id: "a".repeat(64).parse().expect("a digest"), pull: None };
        let task = derive_drill(&Drill { spec, ..drill() }, &image);
        assert!(task.is_alone());
        assert_eq!((task.memory, task.stop_signal), (memory, StopSignal::Sigterm));
        assert_eq!(task.volumes[0].1.as_str(), "/data");
        let names: Vec<&str> = task.env.keys().map(EnvKey::as_str).collect();
        assert_eq!(names, ["REDISCLI_AUTH", "VALKEYCLI_AUTH"]);
        let command = task.command.expect("has one").words().join(" ");
        assert!(command.starts_with("redis-server --appendonly no --databases 32 --dir /data"), "{command}");
        assert!(
            command.contains("--maxmemory-policy noeviction --save  --user default on #09cf1784"),
            "{command}"
        );
        assert!(!command.contains(PASSWORD), "arguments are seen by everybody");
    }

    #[test]
    fn the_time_is_that_until_the_copy_was_whole() {
        let mut state = State::first(AT);
        let mut names = vec![state.name()];
        for (seconds, seen) in
            [(5, Observation::Answers), (60, loaded(10)), (90, Observation::Checked { findings: findings() })]
        {
            state = observe(&state, &seen, &manifest(), AT, later(seconds));
            names.push(state.name());
        }
        let State::Cleaning { verdict: Verdict::Passed { rto_measured_ms, .. }, .. } = &state else {
            panic!("{state:?}")
        };
        assert_eq!(*rto_measured_ms, 60_000);
        state = cleaned(&state, later(95)).expect("has a verdict");
        names.push(state.name());
        assert_eq!(names, ["preparing", "loading", "checking", "cleaning", "passed"]);
        assert_eq!(cleaned(&state, later(99)), None);
    }

    #[test]
    fn drills_come_by_their_policy_and_soon_after_an_interruption() {
        let week = Span::seconds(7 * 86_400);
        let method = Method::Dump;
        let past = |is_over, is_interrupted| Some(Past { created_at: AT, is_over, is_interrupted, method });
        let now = later(60);
        assert_eq!(due_at(week, None, now), Some(now));
        assert_eq!(due_at(week, past(false, false), now), None);
        assert_eq!(due_at(week, past(true, false), now), Some(AT.after(week.duration())));
        assert_eq!(due_at(week, past(true, true), now), Some(AT.after(TRY_AGAIN.duration())));
        let before = Timestamp::from_millis(AT.as_millis() - 1);
        assert_eq!(due_at(week, past(true, false), before), Some(before), "the clock was set back");
    }

    #[test]
    fn both_ways_have_their_turn() {
        let past =
            |method, is_interrupted| Some(Past { created_at: AT, is_over: true, is_interrupted, method });
        let (dump, line) = (Method::Dump, Method::PointInTime);
        for (last, has_dump, has_line, expected) in [
            (None, true, true, Some(dump)),
            (past(dump, false), true, true, Some(line)),
            (past(line, false), true, true, Some(dump)),
            (past(line, true), true, true, Some(line)),
            (past(dump, true), true, true, Some(dump)),
            (past(dump, false), true, false, Some(dump)),
            (past(line, false), false, true, Some(line)),
            (past(line, false), false, false, None),
        ] {
            assert_eq!(turn(last, has_dump, has_line), expected, "{last:?} {has_dump} {has_line}");
        }
    }

    #[test]
    fn what_would_have_been_lost_is_measured_by_its_way() {
        let mut drill = Drill { created_at: later(7200), ..drill() };
        assert_eq!((drill.method(), drill.at(), drill.rpo_measured_ms()), (Method::Dump, AT, 7_200_000));
        let source = "db".parse().expect("a name");
        let recovery = Recovery { at: later(3600), source, stretches: Vec::new() };
        drill.aim = Some(Aim { newest: later(7160), recovery });
        assert_eq!(
            (drill.method(), drill.at(), drill.rpo_measured_ms()),
            (Method::PointInTime, later(3600), 40_000),
            "the newest second counts, whichever was tried"
        );
    }

    #[test]
    fn states_have_one_text() {
        let failed = State::Failed { at: AT, stage: Stage::Loading, reason: Failure::Interrupted };
        assert!(failed.is_interrupted());
        let cleaning = observe(
            &State::first(AT),
            &Observation::Broken { reason: Failure::Server { reason: "no image".to_owned() } },
            &manifest(),
            AT,
            AT,
        );
        for state in [State::first(AT), State::Passed { at: AT }, failed, cleaning] {
            let json = serde_json::to_string(&state).expect("is written");
            assert_eq!(serde_json::from_str::<State>(&json).expect("is read"), state);
        }
    }

    proptest! {
        #[test]
        fn no_drill_is_over_before_it_is_cleaned(kinds in prop::collection::vec(0_u8..5, 0..10)) {
            let mut state = State::first(AT);
            for kind in kinds {
                let seen = match kind {
                    0 => Observation::Answers,
                    1 => loaded(10),
                    2 => Observation::Checked { findings: findings() },
                    3 => Observation::Interrupted,
                    _ => Observation::Broken { reason: Failure::Interrupted },
                };
                let had_verdict = matches!(state, State::Cleaning { .. });
                let next = observe(&state, &seen, &manifest(), AT, later(1));
                prop_assert!(!next.is_over());
                if had_verdict {
                    prop_assert_eq!(&next, &state, "a verdict stays");
                }
                prop_assert_eq!(cleaned(&next, later(2)).is_some(), matches!(next, State::Cleaning { .. }));
                state = next;
            }
        }
    }
}
