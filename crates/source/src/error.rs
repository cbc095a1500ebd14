//! What can go wrong with source, in words for whoever pushed or deploys. Decides nothing about retries beyond
//! [`SourceError::is_permanent`]. Tests at the end of the file.

use std::fmt;
use std::sync::Arc;

use havre_core::name::ProjectName;
use havre_core::source::CommitId;

use crate::tree::ObjectId;

/// Cause of an error; shared, so that errors can be cloned into scripts of the fake.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why something about source was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Nobody has pushed to this project. Permanent until somebody does.
    #[error("project {repository} has no repository yet; push to it once with `git push`")]
    RepositoryMissing {
        /// The project.
        repository: ProjectName,
    },
    /// The commit is not in the repository. Permanent until it is pushed.
    #[error("the repository of {repository} has no commit {commit}; push the branch that holds it")]
    CommitMissing {
        /// The project.
        repository: ProjectName,
        /// The commit that was asked for.
        commit: CommitId,
    },
    /// An object that a tree names is not in the repository, which is damaged then, or belongs to another one.
    #[error("the repository of {repository} has no object {object}; check it with `git fsck`")]
    ObjectMissing {
        /// The project.
        repository: ProjectName,
        /// The object that was asked for.
        object: ObjectId,
    },
    /// The commit holds no folder of that path. Permanent.
    #[error("commit {} has no folder {path}; see `context`, `root` and `dockerfile` in havre.toml", .commit.short())]
    PathMissing {
        /// The commit.
        commit: CommitId,
        /// The path, relative to the root of the repository.
        path: String,
    },
    /// A limit was passed. Permanent.
    #[error("{what} is too large: the limit is {limit}")]
    TooLarge {
        /// What is.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// It is against a rule. Permanent.
    #[error("{reason}")]
    Refused {
        /// Which rule, naming what broke it and what to do.
        reason: String,
    },
    /// A folder of the commit is another repository, of which Havre has only the commit's id. Permanent.
    #[error(
        "{path} is a submodule, and Havre fetches other repositories only where havre.toml says `submodules = true` in `[source]`; \
         else commit its files themselves (`git subtree add`), or leave it out with a .dockerignore"
    )]
    Submodule {
        /// Path inside the context, escaped.
        path: String,
    },
    /// A path of the commit cannot go into a context. Permanent.
    #[error("the path {name} {reason}; rename it, or leave it out with a .dockerignore")]
    NameInvalid {
        /// The path, escaped.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk is full. Worth a retry once somebody made room.
    #[error("no space left on disk to {what}; free some")]
    NoSpace {
        /// What was being done.
        what: String,
    },
    /// It took too long. Worth a retry.
    #[error("could not {what} within {limit}; try again")]
    TimedOut {
        /// What was being done.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// It was asked to stop, or nobody listens any more.
    #[error("it was cancelled")]
    Cancelled,
    /// Anything else, worth a retry.
    #[error("could not {what}")]
    Failed {
        /// What was being done.
        what: String,
        /// Why not.
        #[source]
        source: Cause,
    },
}

impl SourceError {
    /// Whether the same request must fail again until a person changes something.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::RepositoryMissing { .. }
            | Self::CommitMissing { .. }
            | Self::ObjectMissing { .. }
            | Self::PathMissing { .. }
            | Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::Submodule { .. }
            | Self::NameInvalid { .. }
            | Self::Cancelled => true,
            Self::NoSpace { .. } | Self::TimedOut { .. } | Self::Failed { .. } => false,
        }
    }

    /// Wraps a cause; a full disk is told apart from everything else.
    pub(crate) fn failed(
        what: impl fmt::Display,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let what = what.to_string();
        if is_no_space(&source) {
            return Self::NoSpace { what };
        }
        Self::Failed { what, source: Arc::new(source) }
    }

    /// A limit that was passed.
    pub(crate) fn too_large(what: impl fmt::Display, limit: impl fmt::Display) -> Self {
        Self::TooLarge { what: what.to_string(), limit: limit.to_string() }
    }
}

/// Whether an error or one of its causes says that a disk is full: as an I/O error of ours, or in the words of `git`.
fn is_no_space(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let text = error.to_string().to_lowercase();
        if matches!(io, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
            || text.contains("no space left on device")
            || text.contains("disk quota exceeded")
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// A name for messages: escaped, at most 120 characters of it.
pub(crate) fn show(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let ours = std::io::Error::from_raw_os_error(28);
        assert!(matches!(SourceError::failed("write x", ours), SourceError::NoSpace { .. }));
        let theirs = std::io::Error::other("fatal: write error: No space left on device");
        assert!(matches!(SourceError::failed("write x", theirs), SourceError::NoSpace { .. }));
        let other = std::io::Error::from_raw_os_error(13);
        let other = SourceError::failed("write x", other);
        assert!(matches!(other, SourceError::Failed { .. }) && !other.is_permanent());
    }

    #[test]
    fn messages_say_what_to_do() {
        let repository: ProjectName = "shop".parse().expect("is a name");
        let commit: CommitId = "ab".repeat(20).parse().expect("is a commit");
        let missing = SourceError::PathMissing { commit, path: "apps/api".to_owned() };
        assert_eq!(
            missing.to_string(),
            "commit abababababab has no folder apps/api; see `context`, `root` and `dockerfile` in havre.toml"
        );
        let missing = SourceError::RepositoryMissing { repository };
        assert_eq!(
            missing.to_string(),
            "project shop has no repository yet; push to it once with `git push`"
        );
    }

    #[test]
    fn names_are_shown_escaped_and_cut() {
        assert_eq!(show(b"a\nb\x1b[31m"), r"`a\nb\u{1b}[31m`");
        assert_eq!(show(b"\xff"), "`\u{fffd}`");
        assert_eq!(show("é".repeat(121).as_bytes()), format!("`{}…`", "é".repeat(120)));
    }
}
