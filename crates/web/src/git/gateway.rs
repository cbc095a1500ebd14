//! Who answers git: functions handed over by the daemon, so that `web` sees no seam. Plain data and bytes only.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::artifact::Digest;
use havre_core::name::ProjectName;
use havre_core::source::{BranchName, CommitId, RefName, RemoteUrl};
use havre_core::ssh_key::PublicKey;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What a client of git asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// To fetch: `git-upload-pack`.
    Fetch,
    /// To push: `git-receive-pack`.
    Push,
}

impl Verb {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "git-upload-pack",
            Self::Push => "git-receive-pack",
        }
    }
}

/// A branch or tag that a push has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Its name.
    pub reference: RefName,
    /// Where it points now; absent where it was removed.
    pub commit: Option<CommitId>,
}

/// One exchange with a client.
#[derive(Debug)]
pub struct Exchange {
    /// The project whose repository it is about.
    pub project: ProjectName,
    /// What the client wants.
    pub verb: Verb,
    /// It speaks version 2 of the protocol.
    pub is_version_2: bool,
    /// Branches a push may neither remove nor rewrite.
    pub protected: Vec<BranchName>,
    /// What it sends.
    pub input: mpsc::Receiver<io::Result<Bytes>>,
    /// What it gets.
    pub output: mpsc::Sender<Bytes>,
    /// Told once, when git has ended well and before the answer ends: what a push has moved.
    pub pushed: oneshot::Sender<Vec<Pushed>>,
    /// Lines for the person who pushes; the answer ends when this does.
    pub messages: mpsc::Receiver<String>,
    /// Fires when nobody wants the answer any more.
    pub cancel: CancellationToken,
}

/// How large a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of everything in it.
    pub bytes: u64,
    /// Number of branches and tags.
    pub refs: u64,
}

/// A content of Git LFS on its way out.
#[derive(Debug)]
pub struct Content {
    /// How many bytes it has.
    pub bytes: u64,
    /// They. An error in it means that the rest does not come.
    pub chunks: mpsc::Receiver<io::Result<Bytes>>,
}

/// Answers git.
#[async_trait]
pub trait GitGateway: Send + Sync + 'static {
    /// The whole answer to `GET .../info/refs?service=...`. A push makes the repository where there is none.
    async fn advertise(
        &self,
        project: &ProjectName,
        verb: Verb,
        is_version_2: bool,
    ) -> Result<Bytes, GitError>;

    /// Runs one exchange to its end.
    async fn exchange(&self, exchange: Exchange) -> Result<(), GitError>;

    /// How large a repository is.
    async fn measure(&self, project: &ProjectName) -> Result<Measured, GitError>;

    /// The keys that the host of an address for SSH shows now, once its address was looked up and checked. A look, which changes nothing.
    async fn host_keys(&self, url: &RemoteUrl) -> Result<Vec<PublicKey>, GitError>;

    /// How many bytes each of these contents of Git LFS has that were pushed to a project, in their order; `None` for one that is not here.
    async fn find_contents(
        &self,
        project: &ProjectName,
        oids: &[Digest],
    ) -> Result<Vec<Option<u64>>, GitError>;

    /// Bytes of contents that may still be pushed to a project.
    async fn content_room(&self, project: &ProjectName) -> Result<u64, GitError>;

    /// Takes a content that is pushed, of exactly so many bytes, and compares it with its name. Dropped, nothing of it stays.
    async fn take_content(
        &self,
        project: &ProjectName,
        content: (&Digest, u64),
        input: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<(), GitError>;

    /// Gives a content out that was pushed to a project, if it is here.
    async fn give_content(&self, project: &ProjectName, oid: &Digest) -> Result<Option<Content>, GitError>;
}

/// Why git gets no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is no such repository.
    #[error("there is no repository of {0} yet: push to it once")]
    Missing(ProjectName),
    /// The request breaks a rule.
    #[error("{0}")]
    Refused(String),
    /// The disk is full.
    #[error("the server's disk is full")]
    NoSpace,
    /// Something else on the server; the text goes to the log only.
    #[error("{0}")]
    Failed(String),
}
