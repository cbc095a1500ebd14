//! The seam: what Havre asks of the place where source comes from, as plain data and streams of bytes. Does not build, deploy or
//! record anything. Tests: every source passes `tests/it/contract.rs`.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::name::{ProjectName, RelativePath};
use havre_core::preview::PullNumber;
use havre_core::quantity::ByteSize;
use havre_core::secret::Secret;
use havre_core::source::{CommitId, Pull, RefName, RemoteUrl};
use havre_core::ssh_key::PublicKey;
use havre_core::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::{PackPlan, PackSummary};
use crate::error::SourceError;
use crate::push::{Command, PushRules};
use crate::tree::{ObjectId, Tree};

/// Most branches and tags of one repository.
pub const REFS_MAX: usize = 20_000;
/// Most bytes of an advertisement.
pub const ADVERTISEMENT_MAX: u64 = 16 * 1024 * 1024;
/// Most objects of one [`Source::read`].
pub const READ_OBJECTS_MAX: usize = 10_000;
/// Most bytes of one [`Source::read`], all objects together.
pub const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most paths of [`Source::changed_paths`].
pub const CHANGED_PATHS_MAX: usize = 10_000;

/// Which of git's two conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The client fetches.
    UploadPack,
    /// The client pushes.
    ReceivePack,
}

impl Service {
    /// Reads the name of a service in a URL.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    /// The name in URLs and media types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// A newer protocol that the client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Version 2.
    V2,
}

impl Protocol {
    /// Reads the header `Git-Protocol`: keys and values with colons in between. Anything but version 2 is the first protocol.
    pub fn parse(header: &str) -> Option<Self> {
        header.split(':').any(|part| part == "version=2").then_some(Self::V2)
    }
}

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// Which conversation.
    pub service: Service,
    /// The protocol the client asks for.
    pub protocol: Option<Protocol>,
    /// What a push may not do.
    pub rules: PushRules,
    /// The body of the request, decompressed. An error in it means that the client broke off.
    pub input: mpsc::Receiver<io::Result<Bytes>>,
    /// The body of the answer. A receiver that is gone ends a fetch; a push goes on to its end.
    pub output: mpsc::Sender<Bytes>,
}

/// What a request was about. Whether a ref was really changed is told to the client and seen in
/// [`Source::list_refs`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// What a push asked for; none for a fetch and for a push that was refused.
    pub commands: Vec<Command>,
    /// What was given with `git push -o`.
    pub options: Vec<String>,
    /// Why a push was refused as a whole. The client has been told.
    pub refused: Option<String>,
}

/// Where a repository is fetched from.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Its address. `http://` is as good as `https://` here: the caller has asked whether the server allows it.
    pub url: RemoteUrl,
    /// What proves who asks.
    pub token: Option<Secret>,
    /// Where its host is. The caller has looked it up and checked it; nothing else is connected to.
    pub addresses: Vec<IpAddr>,
    /// What a fetch over SSH needs. An address for SSH is refused without it, and no other needs it.
    pub ssh: Option<SshAccess>,
}

/// Both sides of a fetch over SSH.
#[derive(Debug, Clone)]
pub struct SshAccess {
    /// Private keys in OpenSSH's form, in the order in which they are offered.
    pub keys: Vec<Secret>,
    /// Keys the host may show; with any other, nothing is fetched.
    pub host_keys: Vec<PublicKey>,
}

/// How large a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Bytes of everything in it.
    pub bytes: u64,
    /// Number of branches and tags that lead to a commit.
    pub refs: usize,
}

/// What became of packing a repository anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repacked {
    /// It was done.
    Done,
    /// Somebody pushes or fetches into it; later, then.
    Busy,
}

/// A commit, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// Name of whoever wrote it: no control characters, at most 200 characters.
    pub author: String,
    /// The first line of its message: no control characters, at most 200 characters.
    pub subject: String,
    /// Its whole message, cut at [`MESSAGE_MAX`] characters; any characters.
    pub message: String,
    /// When it was made, by the clock of whoever made it.
    pub committed_at: Timestamp,
}

/// Longest message of a [`Commit`], in characters.
pub const MESSAGE_MAX: usize = 16 * 1024;
/// Longest name and subject of a [`Commit`], in characters.
pub const TEXT_MAX: usize = 200;

/// Where source comes from. A repository belongs to a project.
///
/// Every method may answer [`SourceError::Failed`], [`SourceError::TimedOut`] and [`SourceError::NoSpace`]; every method that
/// needs a repository [`SourceError::RepositoryMissing`].
#[async_trait]
pub trait Source: std::fmt::Debug + Send + Sync + 'static {
    /// Every branch and tag with its commit; tags are followed to theirs, and those that lead to none are left out. Empty when
    /// there is no repository yet.
    ///
    /// # Errors
    /// [`SourceError::TooLarge`] above [`REFS_MAX`].
    async fn list_refs(&self, repository: &ProjectName) -> Result<BTreeMap<RefName, CommitId>, SourceError>;

    /// Every project that has a repository, by name.
    ///
    /// # Errors
    /// Only those every method has.
    async fn list(&self) -> Result<Vec<ProjectName>, SourceError>;

    /// Makes the repository where there is none.
    ///
    /// # Errors
    /// Only those every method has.
    async fn ensure(&self, repository: &ProjectName) -> Result<(), SourceError>;

    /// Removes the repository with everything in it; an absent one is fine.
    ///
    /// # Errors
    /// Only those every method has.
    async fn remove(&self, repository: &ProjectName) -> Result<(), SourceError>;

    /// How large the repository is.
    ///
    /// # Errors
    /// [`SourceError::TooLarge`] above [`REFS_MAX`].
    async fn measure(&self, repository: &ProjectName) -> Result<Measure, SourceError>;

    /// What `GET .../info/refs?service=...` answers, as a whole.
    ///
    /// # Errors
    /// [`SourceError::TooLarge`] above [`ADVERTISEMENT_MAX`].
    async fn advertise(
        &self,
        repository: &ProjectName,
        service: Service,
        protocol: Option<Protocol>,
    ) -> Result<Bytes, SourceError>;

    /// One stateless request: the client's bytes in, git's bytes out, until git ends. A push is checked before git sees any
    /// of it; one that is against the rules gets a readable answer and is `Ok`. What a push that breaks off has sent is
    /// thrown away: refs change only after every object is there.
    ///
    /// # Errors
    /// [`SourceError::Refused`] when the request is none, so that no answer can be given in git's own form;
    /// [`SourceError::Cancelled`].
    async fn exchange(
        &self,
        repository: &ProjectName,
        exchange: Exchange,
        cancel: CancellationToken,
    ) -> Result<Exchanged, SourceError>;

    /// Brings a branch or tag of a remote repository here, whatever it was here before, and makes the repository where there is
    /// none. The commit it leads to; `None` when there is no such branch or tag, and then there is none here either.
    /// One at a time for each repository.
    ///
    /// # Errors
    /// [`SourceError::TooLarge`] above what a push may bring; [`SourceError::Cancelled`].
    async fn fetch(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        reference: &RefName,
        cancel: CancellationToken,
    ) -> Result<Option<CommitId>, SourceError>;

    /// The same for the head of a pull request, which is kept outside of branches and tags: [`Source::list_refs`] does not list it, and
    /// nobody can push to it.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    async fn fetch_pull(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        pull: &Pull,
        cancel: CancellationToken,
    ) -> Result<Option<CommitId>, SourceError>;

    /// Lets go of the head of a pull request; an absent one is fine, and so is an absent repository.
    ///
    /// # Errors
    /// Only those every method has.
    async fn forget_pull(&self, repository: &ProjectName, number: PullNumber) -> Result<(), SourceError>;

    /// Brings one commit of another repository here, which a submodule is at, without its history: from then on [`Source::list_tree`],
    /// [`Source::read`] and [`Source::pack`] of `repository` know it. No branch leads to it, nobody can fetch it from here, and it may
    /// be gone after [`Source::repack`]. Nothing is asked for where it is here already.
    ///
    /// # Errors
    /// [`SourceError::TooLarge`] above what a push may bring, or what is kept of all submodules; [`SourceError::Cancelled`].
    async fn fetch_submodule(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        commit: &CommitId,
        cancel: CancellationToken,
    ) -> Result<(), SourceError>;

    /// The keys that whoever answers for this address over SSH shows, of the kinds we know. It is shown nothing of ours, and nothing is trusted
    /// by it: somebody has to compare.
    ///
    /// # Errors
    /// [`SourceError::Failed`] also when there is none.
    async fn list_host_keys(
        &self,
        url: &RemoteUrl,
        addresses: &[IpAddr],
    ) -> Result<Vec<PublicKey>, SourceError>;

    /// Packs the repository anew, so that it stays small and fast. Changes nothing that anybody can see: no branch, no tag, and no object
    /// that one of them leads to. Objects that none has led to for two weeks may go. Makes way for pushes and fetches into it.
    ///
    /// # Errors
    /// [`SourceError::Cancelled`].
    async fn repack(
        &self,
        repository: &ProjectName,
        cancel: CancellationToken,
    ) -> Result<Repacked, SourceError>;

    /// Who wrote a commit and what about.
    ///
    /// # Errors
    /// [`SourceError::CommitMissing`].
    async fn describe(&self, repository: &ProjectName, commit: &CommitId) -> Result<Commit, SourceError>;

    /// Every entry of a commit below `folder`, with paths relative to that.
    ///
    /// # Errors
    /// [`SourceError::CommitMissing`]; [`SourceError::PathMissing`] when there is no such folder;
    /// [`SourceError::TooLarge`] above [`crate::tree::ENTRIES_MAX`].
    async fn list_tree(
        &self,
        repository: &ProjectName,
        commit: &CommitId,
        folder: &RelativePath,
    ) -> Result<Tree, SourceError>;

    /// The contents of some blobs in the order asked, each of at most `limit` bytes.
    ///
    /// # Errors
    /// [`SourceError::ObjectMissing`]; [`SourceError::TooLarge`] above `limit`, [`READ_OBJECTS_MAX`] or [`READ_BYTES_MAX`].
    async fn read(
        &self,
        repository: &ProjectName,
        objects: &[ObjectId],
        limit: u64,
    ) -> Result<Vec<Vec<u8>>, SourceError>;

    /// Writes the uncompressed tar archive of `plan` to `output`, never a whole blob in memory. What was sent before an error is
    /// no archive.
    ///
    /// # Errors
    /// [`SourceError::ObjectMissing`]; [`SourceError::Refused`] for a link that leads out of the archive;
    /// [`SourceError::Cancelled`] also when the receiver is gone.
    async fn pack(
        &self,
        repository: &ProjectName,
        plan: &PackPlan,
        output: mpsc::Sender<Bytes>,
        cancel: CancellationToken,
    ) -> Result<PackSummary, SourceError>;

    /// Paths of files that differ between two commits, in the order of their bytes; those that are no text are shown with
    /// replacement characters. `None` when either is not there, or more than [`CHANGED_PATHS_MAX`] differ.
    ///
    /// # Errors
    /// Only those every method has.
    async fn changed_paths(
        &self,
        repository: &ProjectName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Option<Vec<String>>, SourceError>;
}

/// Text of a commit for people: one line, bounded.
pub(crate) fn text(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect();
    line.trim().to_owned()
}

/// Whether so many objects may be read at once.
pub(crate) fn check_count(objects: &[ObjectId]) -> Result<(), SourceError> {
    if objects.len() > READ_OBJECTS_MAX {
        return Err(SourceError::too_large("the number of files to read", READ_OBJECTS_MAX));
    }
    Ok(())
}

/// Whether an object of `size` bytes may be read, where `left` bytes are left of all that may.
pub(crate) fn check_size(object: &ObjectId, size: u64, limit: u64, left: u64) -> Result<(), SourceError> {
    if size > limit {
        let what = format!("file {object} with {size} bytes");
        return Err(SourceError::too_large(what, format!("{limit} bytes")));
    }
    if size > left {
        return Err(SourceError::too_large("what is read at once", ByteSize::bytes(READ_BYTES_MAX)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_and_protocols() {
        for service in [Service::UploadPack, Service::ReceivePack] {
            assert_eq!(Service::parse(service.name()), Some(service));
        }
        assert_eq!(Service::parse("git-shell"), None);
        for right in ["version=2", "version=2:x=y", "x:version=2"] {
            assert_eq!(Protocol::parse(right), Some(Protocol::V2));
        }
        for wrong in ["", "version=1", "version=20", " version=2"] {
            assert_eq!(Protocol::parse(wrong), None);
        }
    }

    #[test]
    fn texts_are_one_bounded_line() {
        assert_eq!(text(" a\nb\x1b[0m "), "a b [0m");
        assert_eq!(text(&"é".repeat(300)).chars().count(), TEXT_MAX);
    }
}
