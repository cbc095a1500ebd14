//! Events: past-tense facts with a sequence number, written in the transaction of the change they explain.
//! Not event sourcing: rows are the truth. Every reader keeps a cursor and is idempotent.

use serde::{Deserialize, Serialize};

use crate::id::ServiceId;
use crate::name::{ProjectName, SshKeyName};
use crate::ssh_key::Fingerprint;
use crate::time::Timestamp;
use crate::{build, certificate, deployment, service, task};

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the one order of all events; grows, without a promise of no gaps.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What it is about.
    pub subject: Subject,
    /// The event that caused it, where one did.
    pub cause: Option<u64>,
    /// What happened.
    pub kind: EventKind,
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Actor {
    /// One of Havre's own loops.
    Havre,
    /// Somebody with access to the machine's local socket.
    Local,
    /// Holder of an access token.
    Token {
        /// The token's name.
        name: String,
    },
    /// Holder of a key for SSH.
    SshKey {
        /// The key's name.
        name: String,
    },
    /// A sender whose delivery was believed.
    Webhook {
        /// Who sends, such as `github`.
        provider: String,
    },
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Havre => f.write_str("havre"),
            Self::Local => f.write_str("local"),
            Self::Token { name } => write!(f, "token {name}"),
            Self::SshKey { name } => write!(f, "ssh key {name}"),
            Self::Webhook { provider } => write!(f, "webhook {provider}"),
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Subject {
    /// One service.
    Service {
        /// Which.
        id: ServiceId,
    },
    /// The whole installation.
    Node,
}

/// What happened, by room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "room")]
pub enum EventKind {
    /// A service.
    Service(service::event::Event),
    /// A build.
    Build(build::event::Event),
    /// A pipeline, or a push that led to none.
    Pipeline(crate::pipeline::event::Event),
    /// A release.
    Release(crate::release::event::Event),
    /// The preview of a pull request.
    Preview(crate::preview::event::Event),
    /// A deployment.
    Deployment(deployment::event::Event),
    /// A task.
    Task(task::event::Event),
    /// The files of a site.
    Site(crate::site::event::Event),
    /// Images this installation has built.
    Image(crate::image::event::Event),
    /// Registries images come from.
    Registry(crate::registry::event::Event),
    /// Secrets of services.
    Secret(crate::secret::event::Event),
    /// The route table.
    Route(crate::route::event::Event),
    /// Certificates, issuers and DNS providers.
    Certificate(certificate::event::Event),
    /// Runs of jobs.
    Job(crate::job::event::Event),
    /// Databases.
    Database(crate::database::event::Event),
    /// Backups.
    Backup(crate::backup::event::Event),
    /// Access to the API.
    Access(AccessEvent),
}

/// What happened to access tokens and keys for SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum AccessEvent {
    /// A token was made.
    TokenCreated {
        /// Its name.
        name: String,
    },
    /// A token was taken back.
    TokenRevoked {
        /// Its name.
        name: String,
    },
    /// A key for SSH was added.
    SshKeyAdded {
        /// Its name.
        name: SshKeyName,
        /// The only project it may push to; absent where it may push to every one.
        project: Option<ProjectName>,
        /// What people compare it by.
        fingerprint: Fingerprint,
    },
    /// A key for SSH was removed.
    SshKeyRemoved {
        /// Its name.
        name: SshKeyName,
    },
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(event) => event.fmt(f),
            Self::Build(event) => event.fmt(f),
            Self::Pipeline(event) => event.fmt(f),
            Self::Release(event) => event.fmt(f),
            Self::Preview(event) => event.fmt(f),
            Self::Deployment(event) => event.fmt(f),
            Self::Task(event) => event.fmt(f),
            Self::Site(event) => event.fmt(f),
            Self::Image(event) => event.fmt(f),
            Self::Registry(event) => event.fmt(f),
            Self::Secret(event) => event.fmt(f),
            Self::Route(event) => event.fmt(f),
            Self::Certificate(event) => event.fmt(f),
            Self::Job(event) => event.fmt(f),
            Self::Database(event) => event.fmt(f),
            Self::Backup(event) => event.fmt(f),
            Self::Access(event) => event.fmt(f),
        }
    }
}

impl std::fmt::Display for AccessEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TokenCreated { name } => write!(f, "access token {name} created"),
            Self::TokenRevoked { name } => write!(f, "access token {name} revoked"),
            Self::SshKeyAdded { name, project: Some(project), fingerprint } => {
                write!(f, "SSH key {name} ({fingerprint}) added for {project}")
            }
            Self::SshKeyAdded { name, project: None, fingerprint } => {
                write!(f, "SSH key {name} ({fingerprint}) added for every project")
            }
            Self::SshKeyRemoved { name } => write!(f, "SSH key {name} removed"),
        }
    }
}
