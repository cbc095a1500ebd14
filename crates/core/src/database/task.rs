//! The container of a database, completely described: on the private network of its environment and on no other, with its own volume, without
//! a published port. Tests at the end of the file.

use std::collections::BTreeMap;

use crate::database::role::SUPERUSER;
use crate::database::spec::{DatabaseSpec, Kind, PIDS, STOP_GRACE};
use crate::database::{Database, Image};
use crate::id::{DatabaseId, ServiceId};
use crate::name::{AbsolutePath, EnvKey};
use crate::quantity::ByteSize;
use crate::route::settings::auth::SecretDigest;
use crate::secret::Secret;
use crate::secret::variables::Variables;
use crate::service::Place;
use crate::service::spec::{Argv, StopSignal};
use crate::task::spec::{NO_RELEASE, Purpose, TaskSpec};

/// Whose a task is that belongs to a database. No service has this id.
pub const NO_SERVICE: ServiceId = ServiceId::new(0);

/// Least memory that processes of a server share.
const SHARED_MIN: ByteSize = ByteSize::mebibytes(64);
/// Name of the superuser's password inside the task, for clients of Redis that somebody starts there.
const REDIS_AUTH: [&str; 2] = ["REDISCLI_AUTH", "VALKEYCLI_AUTH"];

/// How the superuser proves who it is.
#[derive(Debug, Clone)]
pub struct Superuser {
    /// Its password, one of ours.
    pub password: Secret,
    /// SHA-256 of it.
    pub digest: SecretDigest,
}

/// Container name of a task of a database: the two numbers alone make it unique for ever.
pub fn database_container(place: &Place, database: DatabaseId, task: u32) -> String {
    format!("havre-{database}-{task}-{}-{}-{}", place.service, place.environment, place.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Engine's name of the volume of a database.
pub fn database_volume(database: DatabaseId) -> String {
    format!("havre-{database}-data")
}

/// Where the volume is in the task. The parent of the data, so that those of two versions can lie beside each other.
pub fn volume_path(engine: Kind) -> AbsolutePath {
    let path = match engine {
        Kind::Postgres => "/var/lib/postgresql",
        Kind::Mariadb => "/var/lib/mysql",
        Kind::Redis | Kind::Valkey => "/data",
    };
    path.parse().expect("our own paths are valid")
}

/// Describes the container of the present task of a database. No password stands in its command: an argument is seen by everybody.
pub fn derive_database(database: &Database, image: &Image, superuser: &Superuser, command: Argv) -> TaskSpec {
    let (spec, place) = (&database.spec, database.place());
    TaskSpec {
        name: database_container(&place, database.id, database.task),
        place,
        service: NO_SERVICE,
        environment: database.environment,
        release: NO_RELEASE,
        purpose: Purpose::Database { database: database.id, task: database.task },
        image: image.id.clone(),
        command: Some(command),
        env: env(spec),
        secrets: secrets(spec, superuser),
        edge_address: None,
        has_databases: false,
        memory: spec.memory,
        cpus: spec.cpus,
        pids: PIDS,
        volumes: vec![(database_volume(database.id), volume_path(spec.engine))],
        stop_signal: stop_signal(spec.engine),
        stop_grace: STOP_GRACE,
    }
}

/// What asks a server to end.
pub const fn stop_signal(engine: Kind) -> StopSignal {
    match engine {
        // Asks for a fast shutdown; SIGTERM would wait for every client to leave.
        Kind::Postgres => StopSignal::Sigint,
        Kind::Mariadb | Kind::Redis | Kind::Valkey => StopSignal::Sigterm,
    }
}

/// The contract of the official images, but for what nobody may see.
pub fn env(spec: &DatabaseSpec) -> BTreeMap<EnvKey, String> {
    let pairs = match spec.engine {
        Kind::Postgres => vec![
            ("POSTGRES_USER", SUPERUSER.to_owned()),
            ("POSTGRES_DB", spec.name.to_string()),
            ("PGDATA", format!("{}/{}/docker", volume_path(spec.engine), spec.version)),
        ],
        // Its superuser comes from inside of the task only.
        Kind::Mariadb => {
            vec![("MARIADB_DATABASE", spec.name.to_string()), ("MARIADB_ROOT_HOST", "localhost".to_owned())]
        }
        Kind::Redis | Kind::Valkey => Vec::new(),
    };
    pairs.into_iter().map(|(name, value)| (key(name), value)).collect()
}

/// The password of the superuser, under the names that images and clients know.
pub fn secrets(spec: &DatabaseSpec, superuser: &Superuser) -> Variables {
    let names: &[&str] = match spec.engine {
        Kind::Postgres => &["POSTGRES_PASSWORD"],
        // The second one is for clients inside of the task.
        Kind::Mariadb => &["MARIADB_ROOT_PASSWORD", "MYSQL_PWD"],
        Kind::Redis | Kind::Valkey => &REDIS_AUTH,
    };
    let mut variables = Variables::default();
    names.iter().for_each(|name| variables.add(key(name), superuser.password.clone()));
    variables
}

/// Room for memory that processes of a server share, such as the workers of one query: beyond what Docker gives by itself.
pub fn shared_memory(memory: ByteSize) -> ByteSize {
    ByteSize::bytes(memory.as_bytes() / 4).max(SHARED_MIN)
}

fn key(name: &str) -> EnvKey {
    name.parse().expect("our own names are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgres() {
        let database: Database = serde_json::from_value(serde_json::json!({
            "id": "m3", "environment": "e1", "project": "shop", "environment_name": "production",
            "spec": {"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"},
            "revision": 1, "started_revision": 1, "task": 2, "image": null, "ready_at": null,
            "state": {"state": "starting", "since": "2026-11-24T10:00:00.000Z", "failures": 0},
            "created_at": "2026-11-24T10:00:00.000Z",
        }))
        .unwrap();
        let image = Image { id: "a".repeat(64).parse().unwrap(), pull: None };
        let superuser = Superuser { password: Secret::from("s3cret"), digest: SecretDigest::new([1; 32]) };
        let command = Argv::try_from(vec!["postgres".to_owned()]).unwrap();
        let spec = derive_database(&database, &image, &superuser, command);
        assert_eq!(spec.name, "havre-m3-2-db-production-shop");
        assert_eq!(spec.edge_address, None);
        assert_eq!(spec.private_network().as_deref(), Some("havre-e1"));
        assert_eq!(spec.volumes[0].0, "havre-m3-data");
        let env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(env, ["PGDATA=/var/lib/postgresql/16/docker", "POSTGRES_DB=db", "POSTGRES_USER=postgres"]);
        let names: Vec<&str> = spec.secrets.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["POSTGRES_PASSWORD"]);
        assert_eq!(spec.command.unwrap().words(), ["postgres"]);
    }

    #[test]
    fn a_mariadb_is_told_who_its_superuser_is_and_where_from() {
        let json = serde_json::json!({"name": "db", "engine": "mariadb", "version": 11, "memory": "512MB", "cpus": "1"});
        let spec: DatabaseSpec = serde_json::from_value(json).unwrap();
        let env: Vec<String> = env(&spec).iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(env, ["MARIADB_DATABASE=db", "MARIADB_ROOT_HOST=localhost"]);
        let superuser = Superuser { password: Secret::from("s3cret"), digest: SecretDigest::new([1; 32]) };
        let secrets = secrets(&spec, &superuser);
        let names: Vec<&str> = secrets.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["MARIADB_ROOT_PASSWORD", "MYSQL_PWD"]);
        assert_eq!(volume_path(spec.engine).as_str(), "/var/lib/mysql");
    }
}
