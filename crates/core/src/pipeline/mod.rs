//! A pipeline: one run from a pushed commit to what users get. It runs the tests of the services of the commit, then makes the
//! builds of all of them, waits until they are made, and only then deploys them. Where it stands is `status`; what comes next
//! is decided in `decide`. Tests at the ends of the files.

pub mod event;
pub mod push;
pub mod status;

use serde::{Deserialize, Serialize};

use crate::event::Actor;
use crate::id::PipelineId;
use crate::name::{EnvironmentName, ProjectName, ServiceName};
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
    /// Its stages so far, the last one may be under way.
    #[serde(default)]
    pub stages: Vec<StageTime>,
    /// Services that were left as they are.
    #[serde(default)]
    pub untouched: Vec<Untouched>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// A service of the commit that a pipeline does not build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untouched {
    /// Its name.
    pub service: ServiceName,
    /// Why, for people.
    pub reason: String,
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
    /// Running tests.
    Test,
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
            Self::Test => "test",
            Self::Build => "build",
            Self::Deploy => "deploy",
        }
    }
}

/// When a part of the way was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// Which part.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Until when; absent while it is under way.
    pub until: Option<Timestamp>,
}

/// Notes that a pipeline enters a state: the stage under way ends, another begins.
pub fn enter(stages: &mut Vec<StageTime>, to: &State, at: Timestamp) {
    if let Some(last) = stages.last_mut() {
        last.until.get_or_insert(at);
    }
    if let Some(stage) = to.stage() {
        stages.push(StageTime { stage, since: at, until: None });
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
    /// The tests of its services are at work. Nothing else of it is made before all have passed.
    Testing {
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
        !matches!(self, Self::Queued) && self.stage().is_none()
    }

    /// The part of the way it is on.
    pub const fn stage(&self) -> Option<Stage> {
        match self {
            Self::CheckingOut { .. } => Some(Stage::Checkout),
            Self::Testing { .. } => Some(Stage::Test),
            Self::Building { .. } => Some(Stage::Build),
            Self::Deploying { .. } => Some(Stage::Deploy),
            Self::Queued
            | Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Superseded { .. } => None,
        }
    }

    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::CheckingOut { .. } => "checking_out",
            Self::Testing { .. } => "testing",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_each_other_and_end() {
        let at = Timestamp::from_millis;
        let mut stages = Vec::new();
        enter(&mut stages, &State::Queued, at(0));
        assert_eq!(stages, []);
        enter(&mut stages, &State::CheckingOut { since: at(1) }, at(1));
        enter(&mut stages, &State::Testing { since: at(2) }, at(2));
        let time = |stage, since, until| StageTime { stage, since, until };
        let checkout = time(Stage::Checkout, at(1), Some(at(2)));
        assert_eq!(stages, [checkout, time(Stage::Test, at(2), None)]);
        enter(&mut stages, &State::Cancelled { at: at(5) }, at(5));
        assert_eq!(stages, [checkout, time(Stage::Test, at(2), Some(at(5)))]);
    }

    #[test]
    fn a_pipeline_under_way_is_on_one_stage() {
        let since = Timestamp::from_millis(0);
        let under_way = [
            State::CheckingOut { since },
            State::Testing { since },
            State::Building { since },
            State::Deploying { since },
        ];
        assert!(under_way.iter().all(|state| state.stage().is_some() && !state.is_final()));
        assert!(!State::Queued.is_final() && State::Succeeded { at: since }.is_final());
    }
}
