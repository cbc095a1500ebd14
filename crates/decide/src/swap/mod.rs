//! A swap: another database takes the name services use, and the one that had it stays under a name of its own. An upgrade is a swap whose other
//! database is made first: a restore of a backup that was made while nobody could write. `state` says where one stands, `plan` what comes next,
//! `sql` what servers are told. Tests at the ends of the files.

pub mod plan;
pub mod sql;
pub mod state;

use havre_core::database::Database;
use havre_core::database::spec::{DatabaseSpec, Kind};
use havre_core::id::{DatabaseId, EnvironmentId, SwapId};
use havre_core::name::{DatabaseName, EnvironmentName, NAME_MAX, ProjectName, TargetName};
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use state::State;

/// Swaps of one environment whose rows are kept once they are over.
pub const KEPT: u32 = 50;

/// A row: one swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Its id.
    pub id: SwapId,
    /// The environment both belong to.
    pub environment: EnvironmentId,
    /// Its project, by name.
    pub project: ProjectName,
    /// Its environment, by name.
    pub environment_name: EnvironmentName,
    /// The database that has the name until then.
    pub front: DatabaseId,
    /// The one that gets it; an upgrade has none before it was restored.
    pub back: Option<DatabaseId>,
    /// The names.
    pub names: Names,
    /// Where the other one comes from.
    pub wish: Wish,
    /// Where it stands.
    pub state: State,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// The three names of a swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// The one services use: of the one in front before, of the other one afterwards.
    pub name: DatabaseName,
    /// Of the other one before.
    pub other: DatabaseName,
    /// Of the one that was in front, afterwards.
    pub aside: DatabaseName,
}

/// Where the database comes from that takes the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Wish {
    /// It is there.
    Exchange,
    /// It is made of a backup, for a server of a newer version.
    Upgrade {
        /// Major version of the new server.
        version: u8,
        /// Where the backup goes that it is made of.
        target: TargetName,
    },
}

impl Swap {
    /// The name services use, as a place.
    pub fn place(&self) -> Place {
        Place {
            project: self.project.clone(),
            environment: self.environment_name.clone(),
            service: (&self.names.name).into(),
        }
    }

    /// Whether it is about this database.
    pub fn is_about(&self, id: DatabaseId) -> bool {
        self.front == id || self.back == Some(id)
    }
}

/// Why a swap would make no sense, whatever state anything is in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It would take its own name.
    #[error("{0} cannot be swapped with itself")]
    Itself(DatabaseName),
    /// Services speak to another kind of server in another way.
    #[error("{0} is {1} and {2} is {3}: services that use one cannot use the other")]
    OtherKind(DatabaseName, Kind, DatabaseName, Kind),
    /// The others read the files of older versions by themselves, or cannot rename what they hold.
    #[error("{0} is {1}: only PostgreSQL is upgraded")]
    NotPostgres(DatabaseName, Kind),
    /// What is inside of the server has its name as well, and stays as it is called.
    #[error(
        "{0} is mariadb, which cannot rename a database: let services use the other one by its name, in `uses`"
    )]
    NoOtherName(DatabaseName),
    /// Servers only read dumps of older ones.
    #[error("{0} is {1} {2} already: an upgrade is to a newer version, and there is none back")]
    NotNewer(DatabaseName, Kind, u8),
    /// Such a server would not start.
    #[error("{0}")]
    Spec(String),
}

/// Whether two databases can be swapped.
///
/// # Errors
/// See [`Unfit`].
pub fn check_exchange(front: &DatabaseSpec, other: &DatabaseSpec) -> Result<(), Unfit> {
    if front.name == other.name {
        return Err(Unfit::Itself(front.name.clone()));
    }
    if front.engine != other.engine {
        let (name, other_name) = (front.name.clone(), other.name.clone());
        return Err(Unfit::OtherKind(name, front.engine, other_name, other.engine));
    }
    if front.engine == Kind::Mariadb {
        return Err(Unfit::NoOtherName(front.name.clone()));
    }
    Ok(())
}

/// What the new server of an upgrade shall be: the same as the old one, of another version. An image that was named is of the old version, so
/// the official one takes its place. It has no backups of its own before it has the name.
///
/// # Errors
/// See [`Unfit`].
pub fn upgraded(front: &DatabaseSpec, version: u8, name: &DatabaseName) -> Result<DatabaseSpec, Unfit> {
    if front.engine != Kind::Postgres {
        return Err(Unfit::NotPostgres(front.name.clone(), front.engine));
    }
    if version <= front.version {
        return Err(Unfit::NotNewer(front.name.clone(), front.engine, front.version));
    }
    let spec = DatabaseSpec { name: name.clone(), version, image: None, backup: None, ..front.clone() };
    match spec.problems().first() {
        Some(problem) => Err(Unfit::Spec(problem.clone())),
        None => Ok(spec),
    }
}

/// Both specifications once names are exchanged: what is promised of backups is promised of the name, and goes with it.
pub fn exchanged(front: &Database, back: &Database, names: &Names) -> (DatabaseSpec, DatabaseSpec) {
    let aside = DatabaseSpec { name: names.aside.clone(), backup: None, ..front.spec.clone() };
    let becomes =
        DatabaseSpec { name: names.name.clone(), backup: front.spec.backup.clone(), ..back.spec.clone() };
    (aside, becomes)
}

/// The name of what was in front: `db-before-20261127`, with a number behind it where that is taken. A long name is cut.
pub fn aside_name(
    name: &DatabaseName,
    now: Timestamp,
    is_taken: impl Fn(&DatabaseName) -> bool,
) -> DatabaseName {
    let day: String = now.to_string().chars().take(10).filter(char::is_ascii_digit).collect();
    free_name(name, &format!("-before-{day}"), is_taken)
}

/// The name of a new server until it gets the one services use: `db-upgrade-16`.
pub fn upgrade_name(
    name: &DatabaseName,
    version: u8,
    is_taken: impl Fn(&DatabaseName) -> bool,
) -> DatabaseName {
    free_name(name, &format!("-upgrade-{version}"), is_taken)
}

fn free_name(name: &DatabaseName, end: &str, is_taken: impl Fn(&DatabaseName) -> bool) -> DatabaseName {
    (1_u64..)
        .map(|number| if number == 1 { end.to_owned() } else { format!("{end}-{number}") })
        .map(|end| {
            let start: String = name.as_str().chars().take(NAME_MAX - end.len()).collect();
            format!("{}{end}", start.trim_end_matches('-'))
        })
        .map(|text| text.parse::<DatabaseName>().expect("letters of a name, a word and digits are a name"))
        .find(|name| !is_taken(name))
        .expect("there are more numbers than databases")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, engine: &str, version: u8) -> DatabaseSpec {
        let json = serde_json::json!({"name": name, "engine": engine, "version": version, "memory": "512MB",
            "cpus": "1", "image": "team/own:1"});
        serde_json::from_value(json).expect("is a specification")
    }

    fn name(text: &str) -> DatabaseName {
        text.parse().expect("a name")
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let db = spec("db", "postgres", 15);
        assert_eq!(check_exchange(&db, &spec("db-restored-1", "postgres", 16)), Ok(()));
        for (other, said) in [
            (db.clone(), "db cannot be swapped with itself"),
            (
                spec("cache", "redis", 7),
                "db is postgres and cache is redis: services that use one cannot use the other",
            ),
        ] {
            assert_eq!(check_exchange(&db, &other).map_err(|error| error.to_string()), Err(said.to_owned()));
        }
        let maria = check_exchange(&spec("shop", "mariadb", 11), &spec("shop-2", "mariadb", 11));
        assert!(maria.map_err(|error| error.to_string()).is_err_and(|said| said.contains("cannot rename")));
        let upgrade = |spec: &DatabaseSpec, version| {
            upgraded(spec, version, &name("db-upgrade-16")).map_err(|error| error.to_string())
        };
        let new = upgrade(&db, 16).expect("it may be");
        assert_eq!((new.version, new.image, new.memory), (16, None, db.memory));
        for (old, version, said) in [
            (&db, 15, "db is postgres 15 already: an upgrade is to a newer version, and there is none back"),
            (&db, 99, "postgres 99 is not known here; versions are: 14, 15, 16, 17, 18"),
            (&spec("cache", "valkey", 8), 9, "cache is valkey: only PostgreSQL is upgraded"),
        ] {
            assert_eq!(upgrade(old, version), Err(said.to_owned()));
        }
    }

    #[test]
    fn names_are_of_the_day_and_free() {
        let now = Timestamp::parse("2026-11-27T10:00:00Z").expect("an instant");
        assert_eq!(aside_name(&name("db"), now, |_| false), name("db-before-20261127"));
        let taken = ["db-before-20261127", "db-before-20261127-2"].map(name);
        assert_eq!(aside_name(&name("db"), now, |name| taken.contains(name)), name("db-before-20261127-3"));
        assert_eq!(upgrade_name(&name("db"), 16, |_| false), name("db-upgrade-16"));
        let long = name(&"a".repeat(NAME_MAX));
        let cut = aside_name(&long, now, |_| false);
        assert!(cut.as_str().len() == NAME_MAX && cut.as_str().ends_with("a-before-20261127"), "{cut}");
    }
}
