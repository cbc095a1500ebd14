//! A pipeline: one run from a pushed commit to what users get. It makes the builds of every service of the commit, waits
//! until all of them are made, and only then deploys them. Decided in `plan`, `push` and `status`; tests at their ends.

pub mod event;
pub mod plan;
pub mod push;
pub mod status;

use serde::{Deserialize, Serialize};

use crate::event::Actor;
use crate::id::PipelineId;
use crate::name::{EnvironmentName, ProjectName};
use crate::preview::PullNumber;
use crate::source::{CommitId, RefName};
use crate::time::Timestamp;

/// Longest subject or author kept, in characters.
pub const TEXT_MAX: usize = 200;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// The project whose repository the commit is in.
    pub project: ProjectName,
    /// The environment it deploys to.
    pub environment: EnvironmentName,
    /// Branch or tag it was made for.
    pub reference: RefName,
    /// The commit.
    pub commit: CommitId,
    /// First line of the commit's message, cut at [`TEXT_MAX`].
    pub subject: String,
    /// Who wrote the commit, by name, cut at [`TEXT_MAX`].
    pub author: String,
    /// Why there is this run.
    pub cause: Cause,
    /// Where it stands.
    pub state: State,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Why there is a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// A branch moved.
    Push {
        /// Who pushed.
        by: Actor,
    },
    /// A pull request was opened or pushed to.
    PullRequest {
        /// Its number at the forge.
        number: PullNumber,
        /// Who announced it.
        by: Actor,
    },
    /// Somebody asked for the same commit again.
    Rerun {
        /// The earlier run.
        of: PipelineId,
        /// Who asked.
        by: Actor,
    },
}

impl Cause {
    /// Who is behind it.
    pub const fn actor(&self) -> &Actor {
        match self {
            Self::Push { by } | Self::PullRequest { by, .. } | Self::Rerun { by, .. } => by,
        }
    }
}

/// A part of the way, named where a run fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reading the commit.
    Checkout,
    /// Making artifacts.
    Build,
    /// Making them live.
    Deploy,
}

impl Stage {
    /// Its name in text, JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Build => "build",
            Self::Deploy => "deploy",
        }
    }
}

/// Where a pipeline stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// Reads the commit: `havre.toml` and what each service is built from.
    CheckingOut {
        /// Since when.
        since: Timestamp,
    },
    /// Its builds are at work, or done and waiting for the others.
    Building {
        /// Since when.
        since: Timestamp,
    },
    /// Its deployments are on their way.
    Deploying {
        /// Since when.
        since: Timestamp,
    },
    /// Users get it: every deployment succeeded.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// It came to nothing, or only in part.
    Failed {
        /// When.
        at: Timestamp,
        /// What it was doing.
        stage: Stage,
        /// Why, for people.
        reason: String,
    },
    /// Somebody asked it to stop.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// A newer push to the same environment took its place before it began.
    Superseded {
        /// When.
        at: Timestamp,
        /// The newer one.
        by: PipelineId,
    },
}

impl State {
    /// Nothing will change any more.
    pub const fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Queued | Self::CheckingOut { .. } | Self::Building { .. } | Self::Deploying { .. }
        )
    }

    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::CheckingOut { .. } => "checking_out",
            Self::Building { .. } => "building",
            Self::Deploying { .. } => "deploying",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Superseded { .. } => "superseded",
        }
    }
}

/// A text of a commit as it is kept: one line, no control characters, at most [`TEXT_MAX`] characters.
pub fn line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect()
}
