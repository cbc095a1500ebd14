//! A target: a place where backups go, as the owner of the machine has set it. One target is one repository, under a password of its own. Tests at the
//! end of the file.

use serde::{Deserialize, Serialize};

use crate::backup::account;
use crate::backup::location::Location;
use crate::backup::{RepositoryId, What};
use crate::name::{MediumName, TargetName};
use crate::secret::Secret;
use crate::time::Timestamp;

/// Most targets of one installation.
pub const TARGETS_MAX: usize = 16;

/// What somebody says about a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// Its name.
    pub name: TargetName,
    /// Where its repository lies. It never changes: what was stored there would be lost from sight.
    pub location: Location,
    /// What the bytes lie on: two targets with the same name of a medium are lost together.
    pub medium: MediumName,
    /// Whether it outlives this place.
    pub is_offsite: bool,
}

/// A row: a target, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupTarget {
    /// What was said about it.
    pub spec: TargetSpec,
    /// Its repository, once that was made.
    pub repository: Option<RepositoryId>,
    /// Whether there is a credential for it.
    pub has_credential: bool,
    /// Where it stands.
    pub state: TargetState,
    /// When its recovery kit was first shown; absent while nobody has it.
    pub kit_shown_at: Option<Timestamp>,
    /// When it was first set.
    pub created_at: Timestamp,
}

impl BackupTarget {
    /// For the account of copies.
    pub fn account(&self) -> account::Target {
        account::Target {
            name: self.spec.name.clone(),
            kind: self.spec.location.kind(),
            medium: self.spec.medium.clone(),
            is_offsite: self.spec.is_offsite,
        }
    }
}

/// Where a target stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum TargetState {
    /// Nobody has looked since it was set.
    Waiting,
    /// Its repository answers to its password.
    Ready,
    /// It could not be used when it was last looked at.
    Failed {
        /// Why, for people; never anything secret.
        reason: String,
    },
}

impl TargetState {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Failed { .. } => "failed",
        }
    }
}

/// All it takes to use a target.
#[derive(Debug, Clone)]
pub struct OpenTarget {
    /// Where its repository lies.
    pub location: Location,
    /// The repository it must be, where that was made.
    pub repository: Option<RepositoryId>,
    /// Password of the repository.
    pub password: Secret,
    /// What proves who writes there, as `credential::parse` made it; a folder has none.
    pub credential: Option<Secret>,
}

/// Names what is saved in a sentence: at most three of them, and how many more there are.
pub fn name_some(what: &[What]) -> String {
    let mut names: Vec<String> = what.iter().take(3).map(ToString::to_string).collect();
    if what.len() > names.len() {
        names.push(format!("{} more", what.len() - names.len()));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_are_named_and_the_rest_counted() {
        let what: Vec<What> = ["a", "b", "c", "d", "e"]
            .iter()
            .map(|name| format!("database/shop/production/{name}").parse().expect("is one"))
            .collect();
        assert_eq!(name_some(&what[..1]), "database shop/production/a");
        assert_eq!(
            name_some(&what),
            "database shop/production/a, database shop/production/b, database shop/production/c, 2 more"
        );
    }
}
