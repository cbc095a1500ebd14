//! Throw-away databases: what the tests of a commit get in place of those of an environment. Each is the server that the commit describes, made
//! for one test alone on a private network of that test, and gone with it: no volume outlives it, and no row keeps a password of it.
//! Tests at the end of the file.

use std::time::Duration;

use crate::database::plan::Health;
use crate::database::tuning;
use crate::database::variable::{Link, variables};
use havre_core::artifact::Digest;
use havre_core::build::Build;
use havre_core::build::test::TestSpec;
use havre_core::database::role::{Login, RoleName};
use havre_core::database::spec::{DatabaseSpec, Kind, PIDS, Persistence};
use havre_core::database::task::{NO_SERVICE, Superuser, env, secrets, stop_signal};
use havre_core::id::BuildId;
use havre_core::quantity::{ByteSize, Span};
use havre_core::route::settings::auth::SecretDigest;
use havre_core::secret::Secret;
use havre_core::secret::variables::Variables;
use havre_core::service::spec::{Argv, defaults};
use havre_core::service::{Place, Service};
use havre_core::task::EngineState;
use havre_core::task::spec::{NO_RELEASE, Purpose, TaskSpec};

/// Most memory of one: a test that runs beside what users have takes no gigabytes because production has them.
pub const MEMORY_MAX: ByteSize = ByteSize::mebibytes(1024);
/// Most of them for one test.
pub const THROW_AWAY_MAX: usize = 8;
/// Longest wait for the first answer of a server, once it has been started.
pub const START_TIMEOUT: Span = Span::seconds(120);

/// Settings that say how much memory is used for what. Where a database gets less memory than it has elsewhere, they are derived anew.
const OF_MEMORY: [&str; 15] = [
    "effective_cache_size",
    "innodb_buffer_pool_size",
    "innodb_log_file_size",
    "join_buffer_size",
    "key_buffer_size",
    "maintenance_work_mem",
    "max_heap_table_size",
    "max_wal_size",
    "maxmemory",
    "shared_buffers",
    "sort_buffer_size",
    "temp_buffers",
    "tmp_table_size",
    "wal_buffers",
    "work_mem",
];

/// What PostgreSQL need not do for data that nobody will read again: wait for the disk.
const NOT_SYNCED: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];
/// The same of MariaDB.
const NOT_SYNCED_MARIADB: [&str; 3] =
    ["--innodb_flush_log_at_trx_commit=0", "--innodb_doublewrite=OFF", "--innodb_flush_method=nosync"];

/// Passwords of one throw-away database. No row keeps them.
#[derive(Debug, Clone)]
pub struct Passwords {
    /// The superuser's.
    pub superuser: Superuser,
    /// That of the role the test has, one of ours.
    pub role: Secret,
    /// SHA-256 of that.
    pub role_digest: SecretDigest,
}

/// One throw-away database, and how its test gets in.
#[derive(Debug, Clone)]
pub struct ThrowAway {
    /// Which of the databases of its test, from 1.
    pub number: u32,
    /// What it is.
    pub spec: DatabaseSpec,
    /// The role the test has: named as that of the service would be.
    pub role: RoleName,
    /// Its passwords.
    pub passwords: Passwords,
}

/// The databases of a test, in its order. `passwords` has as many entries as the test has databases.
pub fn derive_all(service: &Service, test: &TestSpec, passwords: Vec<Passwords>) -> Vec<ThrowAway> {
    let role = RoleName::first(service.place.service.clone());
    let numbered = (1_u32..).zip(test.databases.iter().zip(passwords));
    let one =
        |(number, (spec, passwords))| ThrowAway { number, spec: adapt(spec), role: role.clone(), passwords };
    numbered.map(one).collect()
}

/// What a test is told of its databases: the variables that `uses` gives to a service.
pub fn derive_variables(databases: &[ThrowAway]) -> Variables {
    let links: Vec<Link> = databases.iter().map(ThrowAway::link).collect();
    let mut told = Variables::default();
    variables(&links).into_iter().for_each(|(name, value)| told.add(name, value));
    told
}

/// The same server with no more memory than a test may have, which keeps nothing.
fn adapt(spec: &DatabaseSpec) -> DatabaseSpec {
    let mut spec = spec.clone();
    if spec.memory > MEMORY_MAX {
        spec.memory = MEMORY_MAX;
        spec.settings.retain(|name, _| !OF_MEMORY.contains(&name.as_str()));
    }
    if spec.engine.has_persistence() {
        spec.persistence = Persistence::None;
    }
    // Nobody saves it, and nobody collects its WAL.
    spec.backup = None;
    spec
}

/// Container name of a throw-away database: the two numbers alone make it unique for ever.
pub fn test_database_container(place: &Place, build: BuildId, number: u32) -> String {
    format!("havre-{build}-database-{number}-{}-{}-{}", place.service, place.environment, place.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

impl ThrowAway {
    /// The role its server lets in.
    pub fn login(&self) -> Login {
        Login { role: self.role.clone(), digest: self.passwords.role_digest.clone() }
    }

    fn link(&self) -> Link {
        Link {
            database: self.spec.name.clone(),
            engine: self.spec.engine,
            role: self.role.clone(),
            password: self.passwords.role.clone(),
        }
    }

    /// Where it belongs, as of a service: it answers to its name on the network of its test.
    fn place(&self, service: &Service) -> Place {
        Place { service: (&self.spec.name).into(), ..service.place.clone() }
    }

    /// Describes its container.
    pub fn derive_task(&self, service: &Service, build: &Build, image: Digest) -> TaskSpec {
        let place = self.place(service);
        TaskSpec {
            name: test_database_container(&place, build.id, self.number),
            place,
            service: NO_SERVICE,
            environment: service.environment,
            release: NO_RELEASE,
            purpose: Purpose::TestDatabase { build: build.id, number: self.number },
            image,
            command: Some(self.command()),
            env: env(&self.spec),
            secrets: secrets(&self.spec, &self.passwords.superuser),
            edge_address: None,
            has_databases: false,
            memory: self.spec.memory,
            cpus: self.spec.cpus,
            pids: PIDS,
            volumes: Vec::new(),
            stop_signal: stop_signal(self.spec.engine),
            // Nothing of it is worth waiting for.
            stop_grace: defaults::STOP_GRACE,
        }
    }

    fn command(&self) -> Argv {
        let command = tuning::command(&self.spec, &self.passwords.superuser.digest, &[self.login()]);
        let mut words = command.words().to_vec();
        match self.spec.engine {
            Kind::Postgres => words.extend(NOT_SYNCED.iter().flat_map(|one| ["-c", *one]).map(str::to_owned)),
            Kind::Mariadb => words.extend(NOT_SYNCED_MARIADB.map(str::to_owned)),
            Kind::Redis | Kind::Valkey => return command,
        }
        Argv::try_from(words).expect("three settings more are still far fewer than a command may have")
    }
}

/// How far the start of a throw-away database has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It takes connections.
    Answers,
    /// It may yet answer.
    Waits,
    /// It has ended, or has been silent for too long.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// Judges a database that was started `waited` ago by what its server said and what the engine says of its task.
pub fn judge_start(spec: &DatabaseSpec, health: &Health, task: &EngineState, waited: Duration) -> Start {
    let name = &spec.name;
    let failed = |reason: String| Start::Failed { reason };
    match (health, task) {
        (Health::Answers, _) => Start::Answers,
        (_, EngineState::Exited { out_of_memory: true, .. }) => {
            failed(format!("the database {name} was killed: it used more memory than its {}", spec.memory))
        }
        (_, EngineState::Exited { code, .. }) => {
            failed(format!("the database {name} ended with code {code}"))
        }
        (_, EngineState::Absent) => failed(format!("the database {name} was removed by somebody else")),
        (health, EngineState::Created | EngineState::Running { .. }) => {
            if waited < START_TIMEOUT.duration() {
                return Start::Waits;
            }
            let said = match health {
                Health::Silent { message } => format!(": {message}"),
                Health::Answers | Health::NotAsked => String::new(),
            };
            failed(format!("the database {name} did not answer within {START_TIMEOUT}{said}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::task::Healthcheck;

    fn spec(engine: &str, more: serde_json::Value) -> DatabaseSpec {
        let mut json = serde_json::json!({"name": "db", "engine": engine, "version": 16, "memory": "512MB",
            "cpus": "1"});
        for (key, value) in more.as_object().expect("is a table") {
            json[key] = value.clone();
        }
        serde_json::from_value(json).expect("is a specification")
    }

    fn service() -> Service {
        serde_json::from_value(serde_json::json!({
            "id": "s1", "environment": "e1", "revision": 1, "replicas": 1, "live": null,
            "destroyed_at": null,
            "place": {"project": "shop", "environment": "production", "service": "api"},
            "spec": {
                "version": 1, "name": "api", "routes": [], "expose_release": true,
                "work": { "kind": "site", "spa": false, "source": { "kind": "folder", "root": "." } },
            },
        }))
        .expect("is a service")
    }

    fn build() -> Build {
        serde_json::from_value(serde_json::json!({
            "id": "b5", "service": "s1", "revision": 1, "commit": "abc", "pipeline": null,
            "spec": service().spec, "purpose": {"kind": "artifact"}, "state": {"state": "queued"},
            "report": {}, "created_at": "2026-11-24T10:00:00.000Z",
        }))
        .expect("is a build")
    }

    fn throw_away(spec: &DatabaseSpec) -> ThrowAway {
        let digest = |byte| SecretDigest::new([byte; 32]);
        let passwords = Passwords {
            superuser: Superuser { password: Secret::from("adm1n"), digest: digest(1) },
            role: Secret::from("s3cret"),
            role_digest: digest(2),
        };
        let test =
            serde_json::json!({"command": ["a"], "timeout": "1m", "memory": "1GB", "databases": [spec]});
        let test: TestSpec = serde_json::from_value(test).expect("is a test");
        derive_all(&service(), &test, vec![passwords]).remove(0)
    }

    #[test]
    fn a_container_has_no_volume_and_a_network_of_its_test() {
        let database = throw_away(&spec("postgres", serde_json::json!({})));
        let task = database.derive_task(&service(), &build(), "a".repeat(64).parse().unwrap());
        assert_eq!(task.name, "havre-b5-database-1-db-production-shop");
        assert_eq!(task.private_network().as_deref(), Some("havre-b5-test"));
        assert_eq!((task.volumes.len(), task.edge_address), (0, None));
        let words = task.command.expect("has one").words().join(" ");
        assert!(words.ends_with("-c fsync=off -c synchronous_commit=off -c full_page_writes=off"), "{words}");
        assert!(!words.contains("adm1n") && !words.contains("s3cret"), "arguments are seen by everybody");
    }

    #[test]
    fn a_mariadb_waits_for_no_disk() {
        let database = throw_away(&spec("mariadb", serde_json::json!({})));
        let task = database.derive_task(&service(), &build(), "a".repeat(64).parse().unwrap());
        let words = task.command.expect("has one").words().join(" ");
        assert!(
            words.starts_with("mariadbd --") && words.ends_with(" --innodb_flush_method=nosync"),
            "{words}"
        );
        let told = derive_variables(&[database]);
        let url = told.iter().find(|(name, _)| name.as_str() == "DATABASE_URL").expect("is there").1;
        assert_eq!(url.expose_text(), Some("mysql://api_a:s3cret@db:3306/db"));
    }

    #[test]
    fn its_test_is_told_what_uses_would_tell() {
        let told = derive_variables(&[throw_away(&spec("postgres", serde_json::json!({})))]);
        let url = told.iter().find(|(name, _)| name.as_str() == "DATABASE_URL").expect("is there").1;
        assert_eq!(url.expose_text(), Some("postgresql://api_a:s3cret@db:5432/db"));
        assert_eq!(told.iter().count(), 7);
    }

    #[test]
    fn a_large_one_is_made_smaller_with_what_follows_from_that() {
        let more = serde_json::json!({"memory": "16GB", "settings": {"shared_buffers": "8GB", "jit": "off"}});
        let small = throw_away(&spec("postgres", more)).spec;
        assert_eq!(small.memory, MEMORY_MAX);
        let left: Vec<&str> = small.settings.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["jit"]);
        let more = serde_json::json!({"memory": "2GB", "settings": {"innodb_buffer_pool_size": "1G"}});
        assert!(throw_away(&spec("mariadb", more)).spec.settings.is_empty());
        let more = serde_json::json!({"memory": "1GB", "settings": {"shared_buffers": "512MB"}});
        assert_eq!(throw_away(&spec("postgres", more.clone())).spec, spec("postgres", more));
        assert_eq!(throw_away(&spec("redis", serde_json::json!({}))).spec.persistence, Persistence::None);
    }

    #[test]
    fn a_start_is_judged() {
        let spec = spec("postgres", serde_json::json!({}));
        let silent = Health::Silent { message: "no response".to_owned() };
        let running = EngineState::Running { healthcheck: Healthcheck::None };
        let after = |health: &Health, task: &EngineState, seconds| {
            judge_start(&spec, health, task, Duration::from_secs(seconds))
        };
        let failed = |reason: &str| Start::Failed { reason: reason.to_owned() };
        assert_eq!(after(&Health::Answers, &running, 500), Start::Answers);
        assert_eq!(after(&silent, &running, 119), Start::Waits);
        let reason = "the database db did not answer within 2m: no response";
        assert_eq!(after(&silent, &running, 120), failed(reason));
        let ended = EngineState::Exited { code: 1, out_of_memory: false };
        assert_eq!(after(&silent, &ended, 0), failed("the database db ended with code 1"));
        let killed = EngineState::Exited { code: 137, out_of_memory: true };
        assert_eq!(
            after(&silent, &killed, 0),
            failed("the database db was killed: it used more memory than its 512MB")
        );
        let gone = failed("the database db was removed by somebody else");
        assert_eq!(after(&silent, &EngineState::Absent, 0), gone);
    }
}
