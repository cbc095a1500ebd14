//! How a database comes back to a second: its files are put on the volume of a new database, a server without a network reads the WAL up to that
//! second and ends, and only then the database starts for the first time. Two containers, one after the other; what they hold nobody meets.
//! A drill does the same on a volume of its own, in containers that go with it. Tests at the end of the file.

use std::collections::BTreeMap;

use crate::aim::Aim;
use crate::drill::{Drill, derive_server, drill_container, drill_place, drill_volume};
use crate::restore::Restore;
use havre_core::database::role::SUPERUSER;
use havre_core::database::spec::{DatabaseSpec, PIDS, STOP_GRACE};
use havre_core::database::task::{NO_SERVICE, database_volume, volume_path};
use havre_core::database::{Database, Image};
use havre_core::id::EnvironmentId;
use havre_core::name::EnvKey;
use havre_core::quantity::Span;
use havre_core::route::settings::auth::SecretDigest;
use havre_core::secret::variables::Variables;
use havre_core::service::Place;
use havre_core::service::spec::{Argv, StopSignal};
use havre_core::task::spec::{NO_RELEASE, Purpose, TaskSpec};
use havre_core::time::Timestamp;
use havre_decide::database::tuning;

/// Where the WAL lies meanwhile, on the same volume.
const FOLDER: &str = "/var/lib/postgresql/havre-restore";
/// Wait for a program that only waits.
const GRACE: Span = Span::seconds(1);

/// Which of the two containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Takes the files in.
    Fill,
    /// Reads the WAL.
    Recover,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Recover => "recover",
        }
    }
}

/// Container name of a part of a restore.
pub fn container(restore: &Restore, part: Part) -> String {
    let (id, part) = (restore.id, part.as_str());
    format!("havre-{id}-{part}-{}-{}-{}", restore.name, restore.environment, restore.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Where the files of the server lie.
fn data(spec: &DatabaseSpec) -> String {
    format!("{}/{}/docker", volume_path(spec.engine), spec.version)
}

/// Whose a container is.
struct Owner {
    name: String,
    place: Place,
    environment: EnvironmentId,
    purpose: Purpose,
    volume: String,
}

/// Describes the container of a part: on the volume of the new database, without any network.
pub fn derive(restore: &Restore, part: Part, database: &Database, image: &Image, at: Timestamp) -> TaskSpec {
    let owner = Owner {
        name: container(restore, part),
        place: database.place(),
        environment: database.environment,
        purpose: Purpose::Recovery { restore: restore.id },
        volume: database_volume(database.id),
    };
    derive_part(owner, part, &DatabaseSpec { backup: None, ..database.spec.clone() }, image, at)
}

/// The same of a drill: on its own volume, which goes with it. Both parts have one name, since the first goes before the second comes.
pub fn derive_drilled(drill: &Drill, aim: &Aim, part: Part, image: &Image) -> TaskSpec {
    let owner = Owner {
        name: drill_container(drill),
        place: drill_place(drill),
        environment: drill.environment_id,
        purpose: Purpose::Drill { drill: drill.id },
        volume: drill_volume(drill.id),
    };
    derive_part(owner, part, &derive_server(&drill.spec), image, aim.recovery.at)
}

fn derive_part(owner: Owner, part: Part, spec: &DatabaseSpec, image: &Image, at: Timestamp) -> TaskSpec {
    let pairs = [("POSTGRES_USER", SUPERUSER.to_owned()), ("PGDATA", data(spec))];
    let env = pairs.into_iter().map(|(name, value)| (name.parse().expect("our own names are valid"), value));
    let (command, stop_grace) = match part {
        Part::Fill => (words(&["tail", "-f", "/dev/null"]), GRACE),
        Part::Recover => (recover(spec, at), STOP_GRACE),
    };
    TaskSpec {
        name: owner.name,
        place: owner.place,
        service: NO_SERVICE,
        environment: owner.environment,
        release: NO_RELEASE,
        purpose: owner.purpose,
        image: image.id.clone(),
        command: Some(Argv::try_from(command).expect("our own commands are commands")),
        env: env.collect::<BTreeMap<EnvKey, String>>(),
        secrets: Variables::default(),
        edge_address: None,
        has_databases: false,
        memory: spec.memory,
        cpus: spec.cpus,
        pids: PIDS,
        volumes: vec![(owner.volume, volume_path(spec.engine))],
        stop_signal: StopSignal::Sigint,
        stop_grace,
    }
}

/// The server that reads the WAL: on its socket only, and nobody gets in before it is through. It stays on the timeline of its files, since the
/// line that was chosen does.
fn recover(spec: &DatabaseSpec, at: Timestamp) -> Vec<String> {
    let usual = tuning::command(spec, &SecretDigest::new([0; 32]), &[]);
    // While its settings are read, the server knows no `Z` for a time zone yet.
    let target = format!("recovery_target_time={}", at.to_string().replace('T', " ").replace('Z', "+00"));
    let restore = format!("restore_command=cp {FOLDER}/%f %p");
    let more = [
        "listen_addresses=",
        "hot_standby=off",
        "archive_mode=off",
        "recovery_target_timeline=current",
        "recovery_target_action=promote",
        target.as_str(),
        restore.as_str(),
    ];
    let more = more.into_iter().flat_map(|setting| ["-c".to_owned(), setting.to_owned()]);
    usual.words().iter().map(ToString::to_string).chain(more).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Makes the folders; what an earlier try has left in them goes before, by [`sweep`].
pub fn make_folders(spec: &DatabaseSpec) -> Vec<String> {
    words(&["mkdir", "-p", "-m", "0700", "--", &data(spec), FOLDER])
}

/// Takes the files in from its input.
pub fn unpack_base(spec: &DatabaseSpec) -> Vec<String> {
    words(&["tar", "-x", "-f", "-", "-C", &data(spec)])
}

/// Says whether each of the files is the one the server had given out, by its sum in the list that came with them. WAL is looked at by the server
/// that reads it.
pub fn verify(spec: &DatabaseSpec) -> Vec<String> {
    words(&["pg_verifybackup", "--no-parse-wal", "--quiet", "--", &data(spec)])
}

/// Takes WAL in from its input.
pub fn unpack_wal() -> Vec<String> {
    words(&["tar", "-x", "-f", "-", "-C", FOLDER])
}

/// Lets the server read what lies there: it runs as a user of its own.
pub fn give_wal() -> Vec<String> {
    words(&["chown", "-R", "postgres:postgres", "--", FOLDER])
}

/// Says to the server that it is to recover.
pub fn signal(spec: &DatabaseSpec) -> Vec<String> {
    words(&["touch", "--", &format!("{}/recovery.signal", data(spec))])
}

/// Takes the WAL away.
pub fn sweep() -> Vec<String> {
    words(&["rm", "-r", "-f", "--", FOLDER])
}

/// Asks a server whether it is through.
pub fn ask() -> String {
    "SELECT pg_catalog.pg_is_in_recovery();\n".to_owned()
}

/// Whether that answer says so.
pub fn is_through(answer: &str) -> bool {
    answer.trim() == "f"
}

#[cfg(test)]
mod tests {
    use super::super::drill::MEMORY_MAX;
    use super::super::drill::tests::drill;
    use super::super::line::Recovery;
    use super::super::proof::tests::{AT, manifest};
    use super::super::restore::State;
    use super::*;
    use havre_core::id::{DatabaseId, RestoreId};

    fn restore() -> Restore {
        Restore {
            id: RestoreId::new(3),
            project: "shop".parse().expect("a name"),
            environment: "production".parse().expect("a name"),
            source: "db".parse().expect("a name"),
            name: "db-restored-1".parse().expect("a name"),
            database: DatabaseId::new(5),
            target: "disk".parse().expect("a name"),
            manifest: manifest(),
            recovery: None,
            state: State::first(AT),
            created_at: AT,
            ended_at: None,
        }
    }

    fn database() -> Database {
        let at = "2026-11-24T10:00:00.000Z";
        serde_json::from_value(serde_json::json!({
            "id": "m5", "environment": "e1", "project": "shop", "environment_name": "production",
            "spec": {"name": "db-restored-1", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"},
            "revision": 1, "started_revision": 1, "task": 1, "image": null, "ready_at": null,
            "state": {"state": "starting", "since": at, "failures": 0}, "created_at": at,
        }))
        .expect("is a database")
    }

    #[test]
    fn both_parts_are_alone_on_the_volume_of_the_new_database() {
        let image = Image { id: "a".repeat(64).parse().expect("a digest"), pull: None };
        for part in [Part::Fill, Part::Recover] {
            let task = derive(&restore(), part, &database(), &image, AT);
            assert!(task.is_alone() && task.private_network().is_none() && task.edge_address.is_none());
            assert_eq!(task.volumes[0].0, "havre-m5-data");
            assert!(task.secrets.iter().next().is_none());
        }
        let fill = derive(&restore(), Part::Fill, &database(), &image, AT);
        assert_eq!(fill.name, "havre-v3-fill-db-restored-1-production-shop");
    }

    #[test]
    fn both_parts_of_a_drill_are_alone_on_its_own_volume() {
        let image = Image { id: "a".repeat(64).parse().expect("a digest"), pull: None };
        let drill = drill();
        let recovery = Recovery { at: AT, source: "db".parse().expect("a name"), stretches: Vec::new() };
        let aim = Aim { newest: AT, recovery };
        let parts = [Part::Fill, Part::Recover].map(|part| derive_drilled(&drill, &aim, part, &image));
        for task in &parts {
            assert!(task.is_alone() && task.private_network().is_none() && task.edge_address.is_none());
            assert_eq!(task.name, "havre-x3-drill-db-production-shop", "what is left is found by its name");
            assert_eq!(task.volumes[0].0, "havre-x3-data");
            assert_eq!(task.memory, MEMORY_MAX);
            assert!(task.secrets.iter().next().is_none());
        }
        let command = parts[1].command.as_ref().expect("has one").words().join("\n");
        assert!(command.contains("recovery_target_time=2025-11-24 10:00:00.000+00"), "{command}");
        assert_eq!(
            verify(&drill.spec).join(" "),
            "pg_verifybackup --no-parse-wal --quiet -- /var/lib/postgresql/15/docker"
        );
    }

    #[test]
    fn a_server_recovers_to_an_instant_and_stays_on_its_timeline() {
        let words = recover(&database().spec, AT).join("\n");
        for setting in [
            "listen_addresses=",
            "archive_mode=off",
            "recovery_target_time=2025-11-24 10:00:00.000+00",
            "recovery_target_timeline=current",
            "restore_command=cp /var/lib/postgresql/havre-restore/%f %p",
        ] {
            assert!(words.lines().any(|word| word == setting), "{setting} is not in {words}");
        }
        // The last one counts.
        let last = words.lines().rfind(|word| word.starts_with("listen_addresses="));
        assert_eq!(last, Some("listen_addresses="));
        assert!(is_through("f\n") && !is_through("t\n") && !is_through(""));
    }
}
