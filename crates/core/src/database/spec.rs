//! What a user says about one database, defaults included. `havre.toml` is turned into it by `havre_manifest`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::ImageRef;
use crate::backup::policy::BackupPolicy;
use crate::database::setting::{SettingName, SettingValue};
use crate::name::DatabaseName;
use crate::quantity::{ByteSize, Cpus, Span};

/// Memory of a PostgreSQL or MariaDB server, when nothing is said.
pub const POSTGRES_MEMORY: ByteSize = ByteSize::mebibytes(512);
/// Least memory of one: with less it does not start with its own defaults.
pub const POSTGRES_MEMORY_MIN: ByteSize = ByteSize::mebibytes(128);
/// Memory of a Redis or Valkey server, when nothing is said.
pub const REDIS_MEMORY: ByteSize = ByteSize::mebibytes(128);
/// Least memory of one.
pub const REDIS_MEMORY_MIN: ByteSize = ByteSize::mebibytes(32);
/// Processor time, when nothing is said.
pub const CPUS: Cpus = Cpus::millis(1000);
/// Most processes: one for each connection to PostgreSQL, and room.
pub const PIDS: u32 = 4096;
/// Most databases of one environment.
pub const DATABASES_MAX: usize = 50;
/// Wait between the stop signal and SIGKILL: what was committed is safe either way, but a server that was killed reads its log again
/// when it starts.
pub const STOP_GRACE: Span = Span::seconds(60);

/// Which server a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

impl Kind {
    /// As it stands in `havre.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }

    /// Port it listens on.
    pub const fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mariadb => 3306,
            Self::Redis | Self::Valkey => 6379,
        }
    }

    /// Major versions Havre knows, the one that is taken when nothing is said last.
    pub const fn versions(self) -> &'static [u8] {
        match self {
            Self::Postgres => &[14, 15, 16, 17, 18],
            Self::Mariadb => &[10, 11],
            Self::Redis => &[7],
            Self::Valkey => &[8],
        }
    }

    /// What a major version is called by whoever makes the server: of MariaDB the series of it that is kept alive for years.
    pub fn release(self, version: u8) -> String {
        match self {
            Self::Mariadb if version == 10 => "10.11".to_owned(),
            Self::Mariadb if version == 11 => "11.8".to_owned(),
            Self::Postgres | Self::Mariadb | Self::Redis | Self::Valkey => version.to_string(),
        }
    }

    /// Whether its user says what it keeps; the others always keep everything.
    pub const fn has_persistence(self) -> bool {
        matches!(self, Self::Redis | Self::Valkey)
    }

    /// Whether statements of SQL can be asked of it.
    pub const fn speaks_sql(self) -> bool {
        match self {
            Self::Postgres | Self::Mariadb => true,
            Self::Redis | Self::Valkey => false,
        }
    }

    /// Least memory.
    pub const fn memory_min(self) -> ByteSize {
        match self {
            Self::Postgres | Self::Mariadb => POSTGRES_MEMORY_MIN,
            Self::Redis | Self::Valkey => REDIS_MEMORY_MIN,
        }
    }

    /// Memory, when nothing is said.
    pub const fn memory_default(self) -> ByteSize {
        match self {
            Self::Postgres | Self::Mariadb => POSTGRES_MEMORY,
            Self::Redis | Self::Valkey => REDIS_MEMORY,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything the user said about one database, defaults included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSpec {
    /// Its name: that of the database in a PostgreSQL or MariaDB server as well.
    pub name: DatabaseName,
    /// Which server it is; never changes.
    pub engine: Kind,
    /// Its major version; never changes by itself.
    pub version: u8,
    /// In place of the official image; its contract is that of the official one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    /// Most memory; settings are derived from it.
    pub memory: ByteSize,
    /// Most processor time.
    pub cpus: Cpus,
    /// What Redis or Valkey writes to its disk; the others always write everything.
    #[serde(default, skip_serializing_if = "Persistence::is_default")]
    pub persistence: Persistence,
    /// In place of what is derived, and beside it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<SettingName, SettingValue>,
    /// What is promised of its backups; absent where there are none. Of the server it changes only whether its WAL is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupPolicy>,
}

/// What Redis or Valkey writes to its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    /// Every write, synced each second: at most a second is lost.
    #[default]
    Aof,
    /// Everything now and then: minutes may be lost.
    Rdb,
    /// Nothing: all is lost whenever it stops.
    None,
}

impl Persistence {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl DatabaseSpec {
    /// The image it runs: the one that was named, else the official one of its version.
    pub fn reference(&self) -> ImageRef {
        if let Some(image) = &self.image {
            return image.clone();
        }
        let version = self.engine.release(self.version);
        let text = match self.engine {
            Kind::Postgres => format!("postgres:{version}"),
            Kind::Mariadb => format!("mariadb:{version}"),
            Kind::Redis => format!("redis:{version}"),
            Kind::Valkey => format!("valkey/valkey:{version}"),
        };
        text.parse().expect("a name and a number are a reference")
    }

    /// Whether another specification wants the same server, whatever else it wants of its backups.
    pub fn is_same_server(&self, other: &Self) -> bool {
        let without = |spec: &Self| Self { backup: None, ..spec.clone() };
        without(self) == without(other) && self.keeps_wal() == other.keeps_wal()
    }

    /// Whether its server hands out its WAL, so that every second can be brought back.
    pub fn keeps_wal(&self) -> bool {
        self.engine == Kind::Postgres && self.backup.as_ref().is_some_and(|one| one.point_in_time.is_some())
    }

    /// What is wrong with it, for people; empty when nothing is. Names and quantities are parsed types already.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.engine.versions().contains(&self.version) {
            let known: Vec<String> = self.engine.versions().iter().map(ToString::to_string).collect();
            problems.push(format!(
                "{} {} is not known here; versions are: {}",
                self.engine,
                self.version,
                known.join(", ")
            ));
        }
        if self.memory < self.engine.memory_min() {
            problems.push(format!("{} needs at least {} of memory", self.engine, self.engine.memory_min()));
        }
        if !self.engine.has_persistence() && self.persistence != Persistence::default() {
            problems.push(format!(
                "persistence is for redis and valkey: {} always keeps everything",
                self.engine
            ));
        }
        if self.engine == Kind::Mariadb && matches!(self.name.as_str(), "mysql" | "sys") {
            problems.push(format!("{} is a database that every MariaDB server has by itself", self.name));
        }
        if !self.engine.speaks_sql() && self.backup.iter().any(|policy| !policy.assertions.is_empty()) {
            problems.push(format!("backup: `assert` is SQL, which {} does not speak", self.engine));
        }
        for name in self.settings.keys().filter(|name| !name.is_of(self.engine)) {
            problems.push(format!("`{name}` is not a setting of {} that may be set", self.engine));
        }
        let has_window = self.backup.as_ref().is_some_and(|one| one.point_in_time.is_some());
        if self.engine != Kind::Postgres && has_window {
            problems.push(format!("backup: `point_in_time` is for postgres: {} has no WAL", self.engine));
        }
        problems.extend(
            self.backup.iter().flat_map(BackupPolicy::problems).map(|text| format!("backup: {text}")),
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(engine: &str, version: u8) -> DatabaseSpec {
        let json = serde_json::json!({"name": "db", "engine": engine, "version": version, "memory": "512MB",
            "cpus": "1"});
        serde_json::from_value(json).expect("is a specification")
    }

    #[test]
    fn images_are_the_official_ones() {
        let names: Vec<String> =
            [("postgres", 16), ("mariadb", 10), ("mariadb", 11), ("redis", 7), ("valkey", 8)]
                .map(|(engine, version)| spec(engine, version).reference().to_string())
                .into();
        assert_eq!(names, ["postgres:16", "mariadb:10.11", "mariadb:11.8", "redis:7", "valkey/valkey:8"]);
        let own = DatabaseSpec { image: Some("team/pg:16-gis".parse().unwrap()), ..spec("postgres", 16) };
        assert_eq!(own.reference().as_str(), "team/pg:16-gis");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(spec("postgres", 18).problems(), Vec::<String>::new());
        let mut wrong = spec("postgres", 13);
        wrong.memory = ByteSize::mebibytes(64);
        wrong.persistence = Persistence::None;
        wrong.settings.insert("maxmemory-policy".parse().unwrap(), "allkeys-lru".parse().unwrap());
        assert_eq!(
            wrong.problems(),
            [
                "postgres 13 is not known here; versions are: 14, 15, 16, 17, 18",
                "postgres needs at least 128MB of memory",
                "persistence is for redis and valkey: postgres always keeps everything",
                "`maxmemory-policy` is not a setting of postgres that may be set",
            ]
        );
        let assertions = vec!["select true".to_owned()];
        let asked = BackupPolicy { assertions, ..BackupPolicy::of_postgres() };
        let mariadb = DatabaseSpec { backup: Some(asked.clone()), ..spec("mariadb", 11) };
        assert_eq!(mariadb.problems(), Vec::<String>::new());
        let redis = DatabaseSpec { backup: Some(asked), ..spec("redis", 7) };
        assert_eq!(redis.problems(), ["backup: `assert` is SQL, which redis does not speak"]);
    }

    #[test]
    fn a_mariadb_takes_no_name_of_its_own_databases() {
        let named =
            |name: &str| DatabaseSpec { name: name.parse().unwrap(), ..spec("mariadb", 11) }.problems();
        assert_eq!(named("db"), Vec::<String>::new());
        assert_eq!(named("sys"), ["sys is a database that every MariaDB server has by itself"]);
        assert_eq!(named("mysql").len(), 1);
    }
}
