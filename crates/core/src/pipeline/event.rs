//! What happened to a pipeline.

use serde::{Deserialize, Serialize};

use crate::id::PipelineId;
use crate::name::{EnvironmentName, ProjectName};
use crate::pipeline::State;
use crate::pipeline::status::CommitStatus;
use crate::source::{BranchName, CommitId, RefName, RemoteUrl};
use crate::ssh_key::Fingerprint;

/// A past-tense fact; its subject is the whole installation, since a pipeline is about several services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A branch or tag moved.
    Pushed {
        /// The project.
        project: ProjectName,
        /// What moved.
        reference: RefName,
        /// Where it points now; absent where it was removed.
        commit: Option<CommitId>,
    },
    /// A push led to no pipeline.
    Ignored {
        /// The project.
        project: ProjectName,
        /// What moved.
        reference: RefName,
        /// Why nothing follows, for people.
        reason: String,
    },
    /// A pipeline entered a state; also written when it was queued.
    StateChanged {
        /// The pipeline.
        pipeline: PipelineId,
        /// Its project.
        project: ProjectName,
        /// Its environment.
        environment: EnvironmentName,
        /// The new state.
        to: State,
    },
    /// A project has this remote repository now.
    RemoteSet {
        /// The project.
        project: ProjectName,
        /// Where it is.
        url: RemoteUrl,
    },
    /// A remote repository is fetched with these keys over SSH now.
    RemoteKeysSet {
        /// The project.
        project: ProjectName,
        /// Its deploy keys, the newest first.
        ours: Vec<Fingerprint>,
        /// Keys its host may show.
        host: Vec<Fingerprint>,
    },
    /// A project has no remote repository any more.
    RemoteRemoved {
        /// The project.
        project: ProjectName,
    },
    /// A branch may be neither removed nor rewritten from now on.
    BranchProtected {
        /// The project.
        project: ProjectName,
        /// The branch.
        branch: BranchName,
    },
    /// A branch may be removed and rewritten again.
    BranchUnprotected {
        /// The project.
        project: ProjectName,
        /// The branch.
        branch: BranchName,
    },
    /// A project has a webhook with a new secret.
    WebhookSet {
        /// The project.
        project: ProjectName,
        /// Who sends, such as `github`.
        provider: String,
    },
    /// A webhook is gone.
    WebhookRemoved {
        /// The project.
        project: ProjectName,
        /// Who sent.
        provider: String,
    },
    /// A branch or tag could not be fetched and is not tried again.
    FetchFailed {
        /// The project.
        project: ProjectName,
        /// What should have been fetched.
        reference: RefName,
        /// Why, for people.
        reason: String,
    },
    /// The forge was told what became of a pipeline's commit.
    StatusSent {
        /// The pipeline.
        pipeline: PipelineId,
        /// Its project.
        project: ProjectName,
        /// What the forge shows now.
        status: CommitStatus,
    },
    /// The forge could not be told, and is not told this any more.
    StatusFailed {
        /// The pipeline.
        pipeline: PipelineId,
        /// Its project.
        project: ProjectName,
        /// What it should have shown.
        status: CommitStatus,
        /// Why it does not, for people.
        reason: String,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pushed { project, reference, commit: Some(commit) } => {
                write!(f, "{project}: {reference} is at {}", commit.short())
            }
            Self::Pushed { project, reference, commit: None } => {
                write!(f, "{project}: {reference} was removed")
            }
            Self::Ignored { project, reference, reason } => write!(f, "{project}: {reference}: {reason}"),
            Self::StateChanged { pipeline, project, environment, to } => {
                write!(f, "pipeline {pipeline} of {project}/{environment} ")?;
                match to {
                    State::Failed { stage, reason, .. } => write!(f, "failed ({}): {reason}", stage.name()),
                    State::Superseded { by, .. } => write!(f, "was superseded by {by}"),
                    _ => write!(f, "is {}", to.name().replace('_', " ")),
                }
            }
            Self::RemoteSet { project, url } => write!(f, "{project} is fetched from {url}"),
            Self::RemoteKeysSet { project, ours, host } => {
                let (ours, host) = (Fingerprint::list(ours), Fingerprint::list(host));
                write!(f, "{project} is fetched with the deploy key {ours} from the host key {host}")
            }
            Self::RemoteRemoved { project } => write!(f, "{project} has no remote repository any more"),
            Self::BranchProtected { project, branch } => write!(f, "branch {branch} of {project} protected"),
            Self::BranchUnprotected { project, branch } => {
                write!(f, "branch {branch} of {project} no longer protected")
            }
            Self::WebhookSet { project, provider } => write!(f, "webhook of {provider} set for {project}"),
            Self::WebhookRemoved { project, provider } => {
                write!(f, "webhook of {provider} removed from {project}")
            }
            Self::FetchFailed { project, reference, reason } => {
                write!(f, "{project}: {reference} could not be fetched: {reason}")
            }
            Self::StatusSent { pipeline, project, status } => {
                write!(f, "forge of {project} told that {pipeline} is {status}")
            }
            Self::StatusFailed { pipeline, project, status, reason } => {
                write!(f, "forge of {project} not told that {pipeline} is {status}: {reason}")
            }
        }
    }
}
