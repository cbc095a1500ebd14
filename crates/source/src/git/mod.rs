//! The real source: bare repositories in a folder of ours, and the system's `git` for everything in them. The only place that
//! runs another program. There are no hooks: the refs are the truth, and whoever wants to know what was pushed compares them
//! with what is recorded. Tests in `tests/it/contract.rs` and `tests/it/git.rs`.

mod command;
mod fetch;
pub mod lfs;
mod objects;
mod pack;
mod refs;
mod repack;
mod repository;
mod serve;
pub mod ssh;
mod submodule;
mod tree;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::name::{ProjectName, RelativePath};
use havre_core::preview::PullNumber;
use havre_core::quantity::ByteSize;
use havre_core::source::{CommitId, Pull, RefName, RemoteUrl};
use havre_core::ssh_key::PublicKey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::{PackPlan, PackSummary};
use crate::error::SourceError;
use crate::source::{Commit, Exchange, Exchanged, Measure, Protocol, Remote, Repacked, Service, Source};
use crate::tree::{ObjectId, Tree};

use command::Git;
use repository::Repositories;

/// Where repositories lie and how large they may grow.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the repositories, of nothing else; made where there is none. Other programs must not write there.
    pub folder: PathBuf,
    /// The program; looked for in `PATH` when it is a bare name.
    pub git: PathBuf,
    /// `havred`, which git starts in place of `ssh` ([`ssh::stand_in`]); without it, nothing is fetched over SSH.
    pub ssh: Option<PathBuf>,
    /// Most bytes of the pack of one push.
    pub max_push: ByteSize,
    /// Most bytes of one repository; a push that would pass it is refused.
    pub quota: ByteSize,
}

impl Options {
    /// The usual limits: 1 GB for a push, 10 GB for a repository.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            git: PathBuf::from("git"),
            ssh: std::env::current_exe().ok(),
            max_push: ByteSize::mebibytes(1024),
            quota: ByteSize::mebibytes(10 * 1024),
        }
    }
}

/// Repositories on this machine.
#[derive(Debug)]
pub struct GitSource {
    git: Git,
    ssh: Option<PathBuf>,
    repositories: Repositories,
    submodules: submodule::Turns,
    max_push: ByteSize,
    quota: ByteSize,
}

impl GitSource {
    /// Makes the folder, and removes what a crash has left in it. Blocks; for the start, and only while no other process uses
    /// the folder. A machine without git runs everything else: only pushes and fetches are refused then, with what to do.
    ///
    /// # Errors
    /// [`SourceError::Failed`] when the folder cannot be used.
    pub fn open(options: Options) -> Result<Self, SourceError> {
        let Options { folder, git, ssh, max_push, quota } = options;
        let repositories = Repositories::open(&folder)?;
        let git = Git::new(git, repositories.home());
        if let Err(error) = git.check_version() {
            tracing::warn!(%error, "nobody can push to this server");
        }
        let submodules = submodule::Turns::default();
        Ok(Self { git, ssh, repositories, submodules, max_push, quota })
    }
}

#[async_trait]
impl Source for GitSource {
    async fn list_refs(&self, repository: &ProjectName) -> Result<BTreeMap<RefName, CommitId>, SourceError> {
        match self.repositories.find(repository).await? {
            Some(directory) => refs::list_refs(&self.git, repository, &directory).await,
            None => Ok(BTreeMap::new()),
        }
    }

    async fn list(&self) -> Result<Vec<ProjectName>, SourceError> {
        self.repositories.list().await
    }

    async fn ensure(&self, repository: &ProjectName) -> Result<(), SourceError> {
        if self.repositories.find(repository).await?.is_none() {
            self.git.check_version()?;
        }
        self.repositories.ensure(&self.git, repository).await
    }

    async fn remove(&self, repository: &ProjectName) -> Result<(), SourceError> {
        self.repositories.remove(repository).await
    }

    async fn measure(&self, repository: &ProjectName) -> Result<Measure, SourceError> {
        let directory = self.repositories.get(repository).await?;
        let bytes = serve::used(&self.git, repository, &directory).await?;
        let refs = refs::list_refs(&self.git, repository, &directory).await?.len();
        Ok(Measure { bytes, refs })
    }

    async fn advertise(
        &self,
        repository: &ProjectName,
        service: Service,
        protocol: Option<Protocol>,
    ) -> Result<Bytes, SourceError> {
        let directory = self.repositories.get(repository).await?;
        serve::advertise(&self.git, repository, &directory, service, protocol).await
    }

    async fn exchange(
        &self,
        repository: &ProjectName,
        exchange: Exchange,
        cancel: CancellationToken,
    ) -> Result<Exchanged, SourceError> {
        match exchange.service {
            Service::UploadPack => serve::fetch(self, repository, exchange, &cancel).await,
            Service::ReceivePack => serve::push(self, repository, exchange, &cancel).await,
        }
    }

    async fn fetch(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        reference: &RefName,
        cancel: CancellationToken,
    ) -> Result<Option<CommitId>, SourceError> {
        fetch::fetch(self, repository, remote, &fetch::Refs::same(reference), &cancel).await
    }

    async fn fetch_pull(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        pull: &Pull,
        cancel: CancellationToken,
    ) -> Result<Option<CommitId>, SourceError> {
        fetch::fetch(self, repository, remote, &fetch::Refs::of(pull), &cancel).await
    }

    async fn forget_pull(&self, repository: &ProjectName, number: PullNumber) -> Result<(), SourceError> {
        fetch::forget(self, repository, &havre_core::source::pull::kept_as(number)).await
    }

    async fn repack(
        &self,
        repository: &ProjectName,
        cancel: CancellationToken,
    ) -> Result<Repacked, SourceError> {
        let done = repack::repack(self, repository, &cancel).await?;
        if done == Repacked::Done {
            submodule::prune(self, repository).await?;
        }
        Ok(done)
    }

    async fn fetch_submodule(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        commit: &CommitId,
        cancel: CancellationToken,
    ) -> Result<(), SourceError> {
        submodule::fetch(self, repository, remote, commit, &cancel).await
    }

    async fn list_host_keys(
        &self,
        url: &RemoteUrl,
        addresses: &[IpAddr],
    ) -> Result<Vec<PublicKey>, SourceError> {
        ssh::list_host_keys(self, url, addresses).await
    }

    async fn describe(&self, repository: &ProjectName, commit: &CommitId) -> Result<Commit, SourceError> {
        let directory = self.repositories.get(repository).await?;
        refs::describe(&self.git, repository, &directory, commit).await
    }

    async fn list_tree(
        &self,
        repository: &ProjectName,
        commit: &CommitId,
        folder: &RelativePath,
    ) -> Result<Tree, SourceError> {
        let directory = self.repositories.get(repository).await?;
        tree::list_tree(&self.git, repository, &directory, commit, folder).await
    }

    async fn read(
        &self,
        repository: &ProjectName,
        objects: &[ObjectId],
        limit: u64,
    ) -> Result<Vec<Vec<u8>>, SourceError> {
        let directory = self.repositories.get(repository).await?;
        objects::read(&self.git, repository, &directory, objects, limit).await
    }

    async fn pack(
        &self,
        repository: &ProjectName,
        plan: &PackPlan,
        output: mpsc::Sender<Bytes>,
        cancel: CancellationToken,
    ) -> Result<PackSummary, SourceError> {
        let directory = self.repositories.get(repository).await?;
        let from = pack::Place { git: &self.git, repository, directory: &directory };
        pack::pack(from, plan, output, &cancel).await
    }

    async fn changed_paths(
        &self,
        repository: &ProjectName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Option<Vec<String>>, SourceError> {
        let directory = self.repositories.get(repository).await?;
        tree::changed_paths(&self.git, repository, &directory, from, to).await
    }
}
