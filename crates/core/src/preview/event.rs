//! What happened to a preview.

use serde::{Deserialize, Serialize};

use crate::name::ProjectName;
use crate::preview::{PullNumber, State};
use crate::source::CommitId;

/// A past-tense fact; its subject is the whole installation, since a preview is about several services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// It is to be made of this commit; also written when it is made for the first time.
    Moved {
        /// The project.
        project: ProjectName,
        /// The pull request.
        number: PullNumber,
        /// The commit.
        commit: CommitId,
    },
    /// It entered a state.
    StateChanged {
        /// The project.
        project: ProjectName,
        /// The pull request.
        number: PullNumber,
        /// The new state.
        to: State,
    },
    /// What was announced led to no preview.
    Ignored {
        /// The project.
        project: ProjectName,
        /// The pull request.
        number: PullNumber,
        /// Why nothing follows, for people.
        reason: String,
    },
    /// The comment on the pull request says how the preview stands now.
    CommentSent {
        /// The project.
        project: ProjectName,
        /// The pull request.
        number: PullNumber,
    },
    /// The comment on the pull request could not be made or changed, and is not tried again before it would say something else.
    CommentFailed {
        /// The project.
        project: ProjectName,
        /// The pull request.
        number: PullNumber,
        /// Why not, for people.
        reason: String,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Moved { project, number, commit } => {
                write!(f, "preview of pull request {number} of {project} is made of {}", commit.short())
            }
            Self::StateChanged { project, number, to } => {
                write!(f, "preview of pull request {number} of {project} is {}", to.name())?;
                match to.reason() {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
            Self::Ignored { project, number, reason } => {
                write!(f, "{project}: pull request {number}: {reason}")
            }
            Self::CommentSent { project, number } => {
                write!(f, "forge of {project} told in a comment on pull request {number}")
            }
            Self::CommentFailed { project, number, reason } => {
                write!(f, "forge of {project} not told in a comment on pull request {number}: {reason}")
            }
        }
    }
}
