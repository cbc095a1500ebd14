//! A copy: the rows of another database, or of a dump somebody sends, put into a fresh database inside a server and only then swapped in by
//! renaming. What is there before stays as it is until then. What comes next is decided in `decide`. Masking itself is
//! `havre_privacy`'s. Tests at the ends of the files.

pub mod event;
pub mod state;

use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::database::spec::Kind;
use crate::id::{CopyId, DatabaseId};
use crate::name::{DatabaseName, EnvironmentName, ProjectName};
use crate::service::Place;
use crate::time::Timestamp;
use state::State;

/// Largest `privacy.toml` that is taken, in bytes.
pub const POLICY_MAX: usize = 1024 * 1024;

/// Copies of one database whose rows are kept once they are over.
pub const KEPT: u32 = 50;

/// A row: one copy, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseCopy {
    /// Its id; names the fresh database, and the one that was there before.
    pub id: CopyId,
    /// Where the rows come from.
    pub origin: Origin,
    /// The database it goes into.
    pub target: DatabaseId,
    /// Its project, by name.
    pub project: ProjectName,
    /// Its environment, by name.
    pub environment: EnvironmentName,
    /// Its name.
    pub name: DatabaseName,
    /// How.
    pub wish: Wish,
    /// How often it was begun.
    pub attempt: u32,
    /// Where it stands.
    pub state: State,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Where the rows of a copy come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// Another database of the project.
    Database {
        /// Which.
        id: DatabaseId,
        /// Its environment, by name.
        environment: EnvironmentName,
    },
    /// A dump that somebody sends; it comes once.
    Upload,
}

/// How a dump is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DumpFormat {
    /// Text: what `psql` reads.
    #[default]
    Plain,
    /// The archive of `pg_dump`, compressed: what `pg_restore` reads.
    Custom,
}

impl DumpFormat {
    /// As it stands in queries and arguments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Custom => "custom",
        }
    }
}

/// How a copy is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Text of the `privacy.toml` it is masked by; absent for one that is not masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What was there before goes, in place of staying under another name.
    #[serde(default)]
    pub drop_old: bool,
    /// Original values that the leak test finds in columns that are kept do not refuse it.
    #[serde(default)]
    pub accept_leaks: bool,
    /// Under this name beside the database, in place of becoming it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<DatabaseName>,
}

impl DatabaseCopy {
    /// Where the database belongs it goes into, as of a service.
    pub fn place(&self) -> Place {
        Place {
            project: self.project.clone(),
            environment: self.environment.clone(),
            service: (&self.name).into(),
        }
    }

    /// Whether it is masked.
    pub const fn is_masked(&self) -> bool {
        self.wish.policy.is_some()
    }
}

/// Why a database cannot be copied into another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Only PostgreSQL has dumps that can be masked.
    #[error("{0} is {1}: only PostgreSQL databases are copied")]
    OtherServer(Place, Kind),
    /// A dump of a newer server is not read by an older one.
    #[error(
        "the dump is of PostgreSQL {from}, newer than {into} of {target}: an older server does not read it"
    )]
    Newer {
        /// Major version it comes from.
        from: u32,
        /// Major version it would go into.
        into: u32,
        /// The database it would go into.
        target: Place,
    },
    /// It would be copied onto itself.
    #[error("{0} cannot be copied onto itself")]
    Itself(Place),
    /// Nobody said how personal data is masked, or that it is not.
    #[error("a copy out of {0} needs `privacy.toml`, or to be said that it is not masked")]
    Unmasked(EnvironmentName),
    /// Data of production is kept.
    #[error("what {0} holds may not be dropped by a copy: it stays under another name")]
    DropsProduction(Place),
}

/// What breaks a rule before anything is done.
///
/// # Errors
/// See [`Unfit`].
pub fn check_fit(
    source: &Database,
    target: &Database,
    wish: &Wish,
    is_unmasked_said: bool,
) -> Result<(), Unfit> {
    if source.id == target.id {
        return Err(Unfit::Itself(target.place()));
    }
    for database in [source, target] {
        check_postgres(database)?;
    }
    check_version(u32::from(source.spec.version), target)?;
    let production = EnvironmentName::production();
    if source.environment_name == production && wish.policy.is_none() && !is_unmasked_said {
        return Err(Unfit::Unmasked(source.environment_name.clone()));
    }
    if target.environment_name == production && wish.drop_old {
        return Err(Unfit::DropsProduction(target.place()));
    }
    Ok(())
}

/// Refuses what is no PostgreSQL.
///
/// # Errors
/// `OtherServer`.
pub fn check_postgres(database: &Database) -> Result<(), Unfit> {
    match database.spec.engine {
        Kind::Postgres => Ok(()),
        other => Err(Unfit::OtherServer(database.place(), other)),
    }
}

/// Refuses a dump of a newer major version.
///
/// # Errors
/// `Newer`.
pub fn check_version(from: u32, target: &Database) -> Result<(), Unfit> {
    let into = u32::from(target.spec.version);
    if from > into {
        return Err(Unfit::Newer { from, into, target: target.place() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(id: i64, environment: &str, version: u8) -> Database {
        serde_json::from_value(serde_json::json!({
            "id": format!("m{id}"), "environment": format!("e{id}"), "project": "dropit",
            "environment_name": environment, "revision": 1, "started_revision": 1, "task": 1, "image": null,
            "ready_at": null, "state": {"state": "ready", "since": "1970-01-01T00:00:00.000Z"},
            "created_at": "1970-01-01T00:00:00.000Z",
            "spec": {"name": "db", "engine": "postgres", "version": version, "memory": "512MB", "cpus": "1"},
        }))
        .expect("is a row")
    }

    #[test]
    fn what_is_refused_before_anything_is_done() {
        let (production, staging) = (database(1, "production", 16), database(2, "staging", 16));
        let said = |source: &Database, target: &Database, wish: &Wish, unmasked: bool| {
            check_fit(source, target, wish, unmasked).map_err(|unfit| unfit.to_string())
        };
        let masked = Wish { policy: Some(String::new()), ..Wish::default() };
        let plain = Wish::default();
        assert_eq!(said(&production, &staging, &masked, false), Ok(()));
        assert_eq!(said(&production, &staging, &plain, true), Ok(()));
        assert_eq!(said(&staging, &production, &plain, false), Ok(()));
        assert_eq!(
            said(&production, &staging, &plain, false),
            Err("a copy out of production needs `privacy.toml`, or to be said that it is not masked"
                .to_owned())
        );
        assert_eq!(
            said(&production, &database(2, "staging", 15), &masked, false),
            Err("the dump is of PostgreSQL 16, newer than 15 of dropit/staging/db: an older server does not read it"
                .to_owned())
        );
        assert_eq!(said(&production, &database(2, "staging", 17), &masked, false), Ok(()));
        assert!(said(&staging, &staging, &plain, false).is_err());
        let drops = Wish { drop_old: true, ..Wish::default() };
        assert!(said(&staging, &production, &drops, false).is_err());
        let mut redis = staging.clone();
        redis.spec.engine = Kind::Redis;
        assert_eq!(
            said(&production, &redis, &masked, false),
            Err("dropit/staging/db is redis: only PostgreSQL databases are copied".to_owned())
        );
    }
}
