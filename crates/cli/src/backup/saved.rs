//! What is saved of an environment, as people name it: `db` is a database, `api/uploads` a volume of a service. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use havre_core::backup::What;
use havre_core::name::{DatabaseName, NameError, ServiceName, VolumeName};

use crate::database;
use crate::invocation::Scope;

/// What somebody names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Saved {
    /// A database of the environment.
    Database(DatabaseName),
    /// A volume of one of its services.
    Volume { service: ServiceName, volume: VolumeName },
}

impl Saved {
    /// Path of something of it in the API; `rest` begins with a slash.
    pub(crate) fn path(&self, scope: &Scope, rest: &str) -> String {
        match self {
            Self::Database(name) => database::path(scope, name, rest),
            Self::Volume { service, volume } => scope.service(service, &format!("/volumes/{volume}{rest}")),
        }
    }

    /// As the server knows it.
    pub(super) fn what(&self, scope: Scope) -> What {
        let (project, environment) = (scope.project, scope.environment);
        match self {
            Self::Database(name) => What::Database { project, environment, database: name.into() },
            Self::Volume { service, volume } => {
                let (service, volume) = (service.clone(), volume.clone());
                What::Volume { project, environment, service, volume }
            }
        }
    }
}

impl FromStr for Saved {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            None => text.parse().map(Self::Database),
            Some((service, volume)) => {
                Ok(Self::Volume { service: service.parse()?, volume: volume.parse()? })
            }
        }
    }
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => write!(f, "{name}"),
            Self::Volume { service, volume } => write!(f, "{service}/{volume}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_means_a_volume() {
        for text in ["db", "api/uploads"] {
            let saved: Saved = text.parse().expect("is one");
            assert_eq!(
                (saved.to_string().as_str(), matches!(saved, Saved::Volume { .. })),
                (text, text != "db")
            );
        }
        for wrong in ["", "/", "api/", "/uploads", "api/uploads/x", "API/x"] {
            assert!(wrong.parse::<Saved>().is_err(), "{wrong:?}");
        }
    }
}
