//! A build: one attempt to turn an uploaded context into an artifact, or to find out whether the tests of a service pass.

pub mod base;
pub mod event;
pub mod ignore;
pub mod pattern;
pub mod report;
pub mod test;

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::build::report::Report;
use crate::build::test::TestSpec;
use crate::id::{BuildId, DeploymentId, PipelineId, ServiceId};
use crate::service::spec::ServiceSpec;
use crate::time::Timestamp;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its id; names its context and log files.
    pub id: BuildId,
    /// Whose artifact it makes.
    pub service: ServiceId,
    /// The specification it is made for.
    pub spec: ServiceSpec,
    /// The service's revision at that moment.
    pub revision: u64,
    /// Commit the client named, empty when unknown.
    pub commit: String,
    /// The pipeline it is a part of; absent for builds of `havre deploy`.
    pub pipeline: Option<PipelineId>,
    /// What it is made for.
    #[serde(default)]
    pub purpose: Purpose,
    /// Where it stands.
    pub state: State,
    /// When it was at work, and what came from the cache.
    #[serde(default)]
    pub report: Report,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl Build {
    /// Whether it makes nothing that stays.
    pub const fn is_test(&self) -> bool {
        matches!(self.purpose, Purpose::Test(_))
    }
}

/// What a build is made for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Purpose {
    /// An artifact, which is deployed.
    #[default]
    Artifact,
    /// The answer whether the tests of its service pass; what it makes is thrown away. Always a part of a pipeline.
    Test(TestSpec),
}

/// Where a build stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// At work.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Made its artifact and waits for the other builds of its pipeline.
    Built {
        /// When.
        at: Timestamp,
        /// What it made.
        artifact: Artifact,
    },
    /// Its tests have passed.
    Passed {
        /// When.
        at: Timestamp,
    },
    /// Made an artifact.
    Succeeded {
        /// When.
        at: Timestamp,
        /// What it made.
        artifact: Artifact,
        /// The deployment it led to.
        deployment: DeploymentId,
    },
    /// Made nothing.
    Failed {
        /// When.
        at: Timestamp,
        /// Why, for people.
        reason: String,
        /// The step of the Dockerfile that failed, empty when none did.
        step: String,
        /// Its last log lines.
        last_lines: Vec<String>,
    },
    /// Somebody asked it to stop.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// A newer one of the same service took its place.
    Superseded {
        /// When.
        at: Timestamp,
        /// The newer one.
        by: BuildId,
    },
}

impl State {
    /// Nothing will change any more.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running { .. } | Self::Built { .. })
    }

    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Built { .. } => "built",
            Self::Passed { .. } => "passed",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Superseded { .. } => "superseded",
        }
    }
}
