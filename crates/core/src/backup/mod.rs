//! A backup: one run that tries to save something, and never good before what was stored has been read back and is the same.
//! How far a run has come is decided in `state`, what a good one leaves behind is `manifest`. Where
//! backups lie is `target`, `location` and `credential`; what is promised is `policy`; a run as a row is `run`. Which snapshots stay is `retention`, how
//! many copies there are and how old is `account`, what is too old `age`. What is due, and what comes back, is decided in
//! `decide`. Tests at the ends of the files.

pub mod account;
pub mod age;
pub mod credential;
pub mod event;
pub mod location;
pub mod manifest;
pub mod policy;
pub mod proof;
pub mod retention;
pub mod run;
pub mod state;
pub mod target;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::name::{EnvironmentName, ProjectName, ServiceName, VolumeName};
use crate::text::text_json;

/// Text that is not an id of a repository or of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the id of a {kind}: 64 of the characters 0-9 and a-f")]
pub struct HexIdError {
    text: String,
    kind: &'static str,
}

fn parse_hex(text: &str, kind: &'static str) -> Result<String, HexIdError> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return Ok(text.to_owned());
    }
    Err(HexIdError { text: text.chars().take(80).flat_map(char::escape_default).collect(), kind })
}

/// The id a repository gave to a snapshot: the SHA-256 of the file that describes it, so nothing in it can change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(String);

impl SnapshotId {
    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The first eight digits, as restic shows them.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl FromStr for SnapshotId {
    type Err = HexIdError;

    fn from_str(text: &str) -> Result<Self, HexIdError> {
        parse_hex(text, "snapshot").map(Self)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id a repository was given when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryId(String);

impl RepositoryId {
    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The first eight digits, as restic shows them.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl FromStr for RepositoryId {
    type Err = HexIdError;

    fn from_str(text: &str) -> Result<Self, HexIdError> {
        parse_hex(text, "repository").map(Self)
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_json! { SnapshotId RepositoryId }

/// Bytes, reduced to what can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// How many.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Digest,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with the SHA-256 {}", self.bytes, self.sha256.short())
    }
}

/// What is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum What {
    /// A database of an environment.
    Database {
        /// Its project.
        project: ProjectName,
        /// Its environment.
        environment: EnvironmentName,
        /// Its name in `havre.toml`; databases and services share one grammar.
        database: ServiceName,
    },
    /// The files of a PostgreSQL database: what its WAL needs to bring it back to any second.
    Base {
        /// Its project.
        project: ProjectName,
        /// Its environment.
        environment: EnvironmentName,
        /// Its name in `havre.toml`.
        database: ServiceName,
    },
    /// A volume of a service.
    Volume {
        /// The project.
        project: ProjectName,
        /// The environment.
        environment: EnvironmentName,
        /// The service that mounts it.
        service: ServiceName,
        /// The volume.
        volume: VolumeName,
    },
    /// What Havre itself needs to come back: the store and its settings.
    Platform,
}

/// Text that names nothing that is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "what is saved is named platform, database/PROJECT/ENVIRONMENT/DATABASE, base/PROJECT/ENVIRONMENT/DATABASE or volume/PROJECT/ENVIRONMENT/SERVICE/VOLUME"
)]
pub struct WhatError;

impl What {
    /// Its one text for searching: `platform`, `database/shop/production/db` or `volume/shop/production/api/uploads`.
    pub fn key(&self) -> String {
        match self {
            Self::Database { project, environment, database } => {
                format!("database/{project}/{environment}/{database}")
            }
            Self::Base { project, environment, database } => {
                format!("base/{project}/{environment}/{database}")
            }
            Self::Volume { project, environment, service, volume } => {
                format!("volume/{project}/{environment}/{service}/{volume}")
            }
            Self::Platform => "platform".to_owned(),
        }
    }
}

impl FromStr for What {
    type Err = WhatError;

    /// Reads what [`What::key`] writes.
    fn from_str(text: &str) -> Result<Self, WhatError> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["platform"] => Ok(Self::Platform),
            ["database", project, environment, database] => Ok(Self::Database {
                project: project.parse().map_err(|_| WhatError)?,
                environment: environment.parse().map_err(|_| WhatError)?,
                database: database.parse().map_err(|_| WhatError)?,
            }),
            ["base", project, environment, database] => Ok(Self::Base {
                project: project.parse().map_err(|_| WhatError)?,
                environment: environment.parse().map_err(|_| WhatError)?,
                database: database.parse().map_err(|_| WhatError)?,
            }),
            ["volume", project, environment, service, volume] => Ok(Self::Volume {
                project: project.parse().map_err(|_| WhatError)?,
                environment: environment.parse().map_err(|_| WhatError)?,
                service: service.parse().map_err(|_| WhatError)?,
                volume: volume.parse().map_err(|_| WhatError)?,
            }),
            _ => Err(WhatError),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database { project, environment, database } => {
                write!(f, "database {project}/{environment}/{database}")
            }
            Self::Base { project, environment, database } => {
                write!(f, "base of database {project}/{environment}/{database}")
            }
            Self::Volume { project, environment, service, volume } => {
                write!(f, "volume {volume} of {project}/{environment}/{service}")
            }
            Self::Platform => f.write_str("platform"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_has_one_key() {
        for key in [
            "platform",
            "database/shop/production/db",
            "base/shop/production/db",
            "volume/shop/production/api/uploads",
        ] {
            assert_eq!(key.parse::<What>().expect("is one").key(), key);
        }
        for wrong in
            ["", "database", "database/shop/db", "volume/a/b/c", "platform/", "database/a/b/C", "x/a/b/c"]
        {
            assert!(wrong.parse::<What>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn ids_have_one_text() {
        let hex = "0123456789abcdef".repeat(4);
        let id: SnapshotId = hex.parse().expect("is an id");
        assert_eq!((id.to_string().as_str(), id.short()), (hex.as_str(), "01234567"));
        for wrong in ["", "latest", &hex[1..], &hex.to_uppercase(), &format!("{hex}0"), "../../etc/passwd"] {
            assert!(wrong.parse::<SnapshotId>().is_err(), "{wrong:?} must not parse");
            assert!(wrong.parse::<RepositoryId>().is_err(), "{wrong:?} must not parse");
        }
    }
}
