//! A source in memory for tests of the loops and of the gateway: commits are made by test calls, everything else goes through the
//! seam. Share it as an `Arc` to let it survive a "restart" of control. It knows no packs: a push moves refs to commits that
//! were made here before. Tests: the contract suite `tests/it/contract.rs`, which the real source passes too.

mod file;
mod receive;
mod submodule;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::name::{ProjectName, RelativePath};
use havre_core::preview::PullNumber;
use havre_core::source::pull::kept_as;
use havre_core::source::{BranchName, CommitId, Pull, RefName, RemoteUrl};
use havre_core::ssh_key::PublicKey;
use havre_core::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::archive::Archive;
use crate::context::{PackEntry, PackKind, PackPlan, PackSummary, folder_of};
use crate::error::SourceError;
use crate::pkt::{self, FLUSH};
use crate::push::{self, Command, PushRules};
use crate::source::{
    CHANGED_PATHS_MAX, Commit, Exchange, Exchanged, Measure, Protocol, READ_BYTES_MAX, Remote, Repacked,
    Service, Source, SshAccess, check_count, check_size, text,
};
use crate::tree::{EntryKind, ObjectId, Tree, TreeEntry};

pub use file::FakeFile;
pub use submodule::FakeFetch;

/// Who wrote every commit.
pub const AUTHOR: &str = "Fake Author";
/// When the first commit was made; each later one a second after.
const START: i64 = 1_700_000_000_000;

/// Repositories in memory.
#[derive(Debug, Default)]
pub struct FakeSource {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    repositories: BTreeMap<ProjectName, Repository>,
    commits: i64,
    failures: VecDeque<SourceError>,
    repacked: Vec<ProjectName>,
    submodules: Vec<FakeFetch>,
    host_keys: Vec<PublicKey>,
    ssh: Vec<SshAccess>,
    is_busy: bool,
}

#[derive(Debug, Default)]
struct Repository {
    refs: BTreeMap<RefName, CommitId>,
    /// Heads of pull requests by full name: those a forge shows, and those that are kept.
    pulls: BTreeMap<String, CommitId>,
    commits: BTreeMap<CommitId, Stored>,
    blobs: BTreeMap<ObjectId, Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Stored {
    commit: Commit,
    parent: Option<CommitId>,
    files: BTreeMap<String, FakeFile>,
}

impl FakeSource {
    /// Without any repository.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a commit with exactly these files and this message, and the repository where there is none. No branch leads to it yet.
    pub fn commit(
        &self,
        repository: &ProjectName,
        parent: Option<&CommitId>,
        subject: &str,
        files: &[(&str, FakeFile)],
    ) -> CommitId {
        let mut inner = self.lock();
        inner.commits += 1;
        let number = inner.commits;
        let id: CommitId = hash("commit", &number.to_be_bytes()).parse().expect("is an id");
        let commit = Commit {
            id: id.clone(),
            author: AUTHOR.to_owned(),
            subject: text(subject.lines().next().unwrap_or_default()),
            message: subject.to_owned(),
            committed_at: Timestamp::from_millis(START + number * 1000),
        };
        let repository = inner.repositories.entry(repository.clone()).or_default();
        for content in files.iter().filter_map(|(_, file)| file.content()) {
            repository.blobs.insert(blob(content), content.to_vec());
        }
        let files = files.iter().map(|(path, file)| ((*path).to_owned(), file.clone())).collect();
        repository.commits.insert(id.clone(), Stored { commit, parent: parent.cloned(), files });
        id
    }

    /// Lets a branch or tag lead to a commit, or removes it, as a push would.
    pub fn set_ref(&self, repository: &ProjectName, name: &RefName, commit: Option<&CommitId>) {
        let mut inner = self.lock();
        let repository = inner.repositories.entry(repository.clone()).or_default();
        match commit {
            Some(commit) => repository.refs.insert(name.clone(), commit.clone()),
            None => repository.refs.remove(name),
        };
    }

    /// Lets a forge show a commit as the head of a pull request.
    pub fn set_pull(&self, repository: &ProjectName, pull: &Pull, commit: &CommitId) {
        let mut inner = self.lock();
        let repository = inner.repositories.entry(repository.clone()).or_default();
        repository.pulls.insert(pull.theirs(), commit.clone());
    }

    /// The head of a pull request that is kept here.
    pub fn kept_pull(&self, repository: &ProjectName, number: PullNumber) -> Option<CommitId> {
        self.lock().repositories.get(repository)?.pulls.get(&kept_as(number)).cloned()
    }

    /// Makes a commit on top of a branch and lets the branch lead to it.
    pub fn push(
        &self,
        repository: &ProjectName,
        branch: &BranchName,
        files: &[(&str, FakeFile)],
    ) -> CommitId {
        let name = RefName::from(branch);
        let parent =
            self.lock().repositories.get(repository).and_then(|found| found.refs.get(&name).cloned());
        let commit = self.commit(repository, parent.as_ref(), "a change", files);
        self.set_ref(repository, &name, Some(&commit));
        commit
    }

    /// The next call of any method of the seam fails so; several failures follow in order.
    pub fn fail_next(&self, error: SourceError) {
        self.lock().failures.push_back(error);
    }

    /// From now on somebody pushes all the time, or nobody does: while it is so, nothing is packed anew.
    pub fn set_busy(&self, is_busy: bool) {
        self.lock().is_busy = is_busy;
    }

    /// From now on every host shows these keys.
    pub fn set_host_keys(&self, keys: Vec<PublicKey>) {
        self.lock().host_keys = keys;
    }

    /// What fetches over SSH were made with, in order.
    pub fn ssh(&self) -> Vec<SshAccess> {
        self.lock().ssh.clone()
    }

    /// Projects whose repositories were packed anew, in order.
    pub fn repacked(&self) -> Vec<ProjectName> {
        self.lock().repacked.clone()
    }

    /// Projects that have a repository.
    pub fn repositories(&self) -> Vec<ProjectName> {
        self.lock().repositories.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a repository, unless a failure is planned.
    fn look<T>(
        &self,
        name: &ProjectName,
        act: impl FnOnce(&Repository) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut inner = self.lock();
        if let Some(error) = inner.failures.pop_front() {
            return Err(error);
        }
        let missing = || SourceError::RepositoryMissing { repository: name.clone() };
        act(inner.repositories.get(name).ok_or_else(missing)?)
    }

    /// Brings what a remote repository shows by some name here, with everything it has; `set` gives it its name or takes that away.
    fn bring(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        find: impl FnOnce(&Repository) -> Option<CommitId>,
        set: impl FnOnce(&mut Repository, Option<&CommitId>),
    ) -> Result<Option<CommitId>, SourceError> {
        let mut inner = self.lock();
        if let Some(error) = inner.failures.pop_front() {
            return Err(error);
        }
        inner.ssh.extend(remote.ssh.clone());
        let address = remote.url.to_string();
        let last = address.rsplit('/').next().unwrap_or_default();
        let from: Option<ProjectName> = last.strip_suffix(".git").unwrap_or(last).parse().ok();
        let theirs = from.and_then(|from| {
            let found = inner.repositories.get(&from)?;
            Some((find(found)?, found.commits.clone(), found.blobs.clone()))
        });
        let ours = inner.repositories.entry(repository.clone()).or_default();
        let commit = theirs.map(|(commit, commits, blobs)| {
            ours.commits.extend(commits);
            ours.blobs.extend(blobs);
            commit
        });
        set(ours, commit.as_ref());
        Ok(commit)
    }

    /// Does what a push asks for and answers what became of each ref.
    fn apply(
        &self,
        name: &ProjectName,
        commands: &[Command],
        rules: &PushRules,
    ) -> Vec<Result<(), &'static str>> {
        let mut inner = self.lock();
        let Some(repository) = inner.repositories.get_mut(name) else {
            return vec![Err("repository was removed"); commands.len()];
        };
        // As git does: one rule for all branches of the push.
        let is_strict = rules.protect_any(commands);
        commands.iter().map(|command| repository.apply(command, is_strict)).collect()
    }
}

impl Repository {
    fn apply(&mut self, command: &Command, is_strict: bool) -> Result<(), &'static str> {
        let current = self.refs.get(&command.name);
        if current != command.old.as_ref() {
            return Err("failed to update ref");
        }
        let Some(new) = &command.new else {
            self.refs.remove(&command.name);
            return Ok(());
        };
        if !self.commits.contains_key(new) {
            return Err("missing necessary objects");
        }
        if is_strict
            && command.name.branch().is_some()
            && let Some(current) = current
            && !self.descends(new, current)
        {
            return Err("non-fast-forward");
        }
        self.refs.insert(command.name.clone(), new.clone());
        Ok(())
    }

    fn descends(&self, commit: &CommitId, from: &CommitId) -> bool {
        let mut next = Some(commit);
        while let Some(commit) = next {
            if commit == from {
                return true;
            }
            next = self.commits.get(commit).and_then(|stored| stored.parent.as_ref());
        }
        false
    }

    fn get(&self, name: &ProjectName, commit: &CommitId) -> Result<&Stored, SourceError> {
        let missing = || SourceError::CommitMissing { repository: name.clone(), commit: commit.clone() };
        self.commits.get(commit).ok_or_else(missing)
    }

    fn blob(&self, name: &ProjectName, object: &ObjectId) -> Result<&Vec<u8>, SourceError> {
        let missing = || SourceError::ObjectMissing { repository: name.clone(), object: object.clone() };
        self.blobs.get(object).ok_or_else(missing)
    }
}

impl Stored {
    fn tree(&self, folder: &str) -> Result<Tree, SourceError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries = Vec::new();
        let mut folders = BTreeSet::new();
        for (path, file) in &self.files {
            let Some(path) = path.strip_prefix(&prefix) else { continue };
            folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
            let object = match file {
                FakeFile::Submodule(commit) => commit.as_str().parse().expect("is an id"),
                file => blob(file.content().unwrap_or_default()),
            };
            let size = file.content().unwrap_or_default().len() as u64;
            entries.push(TreeEntry { path: path.as_bytes().to_vec(), kind: file.kind(), size, object });
        }
        if entries.is_empty() && !folder.is_empty() {
            return Err(SourceError::PathMissing { commit: self.commit.id.clone(), path: folder.to_owned() });
        }
        entries.extend(folders.into_iter().map(|path| TreeEntry {
            object: hash("tree", path.as_bytes()).parse().expect("is an id"),
            path: path.into_bytes(),
            kind: EntryKind::Folder,
            size: 0,
        }));
        Ok(Tree::new(self.commit.id.clone(), self.commit.committed_at, entries))
    }
}

fn blob(content: &[u8]) -> ObjectId {
    hash("blob", content).parse().expect("is an id")
}

/// Forty digits that depend on the kind and content only. FNV-1a, twice: tests do not attack it.
fn hash(kind: &str, content: &[u8]) -> String {
    let hash = |seed: u64| {
        let bytes = kind.as_bytes().iter().chain(content);
        bytes.fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    };
    format!("{:016x}{:016x}{:08x}", hash(0xcbf2_9ce4_8422_2325), hash(0x9ce4_8422_2325_cbf2), content.len())
}

#[async_trait]
impl Source for FakeSource {
    async fn list_refs(&self, repository: &ProjectName) -> Result<BTreeMap<RefName, CommitId>, SourceError> {
        match self.look(repository, |found| Ok(found.refs.clone())) {
            Err(SourceError::RepositoryMissing { .. }) => Ok(BTreeMap::new()),
            refs => refs,
        }
    }

    async fn list(&self) -> Result<Vec<ProjectName>, SourceError> {
        let mut inner = self.lock();
        match inner.failures.pop_front() {
            Some(error) => Err(error),
            None => Ok(inner.repositories.keys().cloned().collect()),
        }
    }

    async fn ensure(&self, repository: &ProjectName) -> Result<(), SourceError> {
        match self.look(repository, |_| Ok(())) {
            Err(SourceError::RepositoryMissing { .. }) => {
                self.lock().repositories.entry(repository.clone()).or_default();
                Ok(())
            }
            ensured => ensured,
        }
    }

    /// The remote repository is the one here whose name its address ends with; its commits come along whole.
    async fn fetch(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        reference: &RefName,
        _cancel: CancellationToken,
    ) -> Result<Option<CommitId>, SourceError> {
        let find = |found: &Repository| found.refs.get(reference).cloned();
        self.bring(repository, remote, find, |ours, commit| match commit {
            Some(commit) => drop(ours.refs.insert(reference.clone(), commit.clone())),
            None => drop(ours.refs.remove(reference)),
        })
    }

    async fn fetch_pull(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        pull: &Pull,
        _cancel: CancellationToken,
    ) -> Result<Option<CommitId>, SourceError> {
        let (theirs, kept) = (pull.theirs(), pull.ours());
        let find = |found: &Repository| {
            let branch = theirs.parse().ok().and_then(|name: RefName| found.refs.get(&name));
            branch.or_else(|| found.pulls.get(&theirs)).cloned()
        };
        self.bring(repository, remote, find, |ours, commit| match commit {
            Some(commit) => drop(ours.pulls.insert(kept, commit.clone())),
            None => drop(ours.pulls.remove(&kept)),
        })
    }

    async fn forget_pull(&self, repository: &ProjectName, number: PullNumber) -> Result<(), SourceError> {
        if let Some(found) = self.lock().repositories.get_mut(repository) {
            found.pulls.remove(&kept_as(number));
        }
        Ok(())
    }

    async fn remove(&self, repository: &ProjectName) -> Result<(), SourceError> {
        match self.look(repository, |_| Ok(())) {
            Ok(()) | Err(SourceError::RepositoryMissing { .. }) => {
                self.lock().repositories.remove(repository);
                Ok(())
            }
            failed => failed,
        }
    }

    async fn measure(&self, repository: &ProjectName) -> Result<Measure, SourceError> {
        self.look(repository, |found| {
            let bytes = found.blobs.values().map(|content| content.len() as u64).sum();
            Ok(Measure { bytes, refs: found.refs.len() })
        })
    }

    async fn advertise(
        &self,
        repository: &ProjectName,
        service: Service,
        protocol: Option<Protocol>,
    ) -> Result<Bytes, SourceError> {
        let refs = self.look(repository, |found| Ok(found.refs.clone()))?;
        let mut answer = Vec::new();
        if (service, protocol) == (Service::UploadPack, Some(Protocol::V2)) {
            pkt::encode(&mut answer, b"version 2\n");
        } else {
            pkt::encode(&mut answer, format!("# service={}\n", service.name()).as_bytes());
            answer.extend_from_slice(FLUSH);
            let mut capabilities = "\0report-status side-band-64k push-options agent=fake";
            for (name, commit) in &refs {
                pkt::encode(&mut answer, format!("{commit} {name}{capabilities}\n").as_bytes());
                capabilities = "";
            }
            if refs.is_empty() {
                let zero = "0".repeat(40);
                pkt::encode(&mut answer, format!("{zero} capabilities^{{}}{capabilities}\n").as_bytes());
            }
        }
        answer.extend_from_slice(FLUSH);
        Ok(answer.into())
    }

    async fn exchange(
        &self,
        repository: &ProjectName,
        exchange: Exchange,
        cancel: CancellationToken,
    ) -> Result<Exchanged, SourceError> {
        self.look(repository, |_| Ok(()))?;
        let Exchange { service, rules, mut input, output, .. } = exchange;
        let work = async {
            if service == Service::UploadPack {
                while input.recv().await.is_some() {}
                // Nobody has to listen.
                let _ = output.send(Bytes::from_static(FLUSH)).await;
                return Ok(Exchanged::default());
            }
            let head = receive::read_head(input).await?;
            let commands = match push::check(&head, &rules) {
                Ok(commands) => commands,
                Err(error) => {
                    let reason = error.to_string();
                    let answer = push::refuse(&head.updates, head.capabilities, &reason);
                    let _ = output.send(answer.into()).await;
                    return Ok(Exchanged { refused: Some(reason), ..Exchanged::default() });
                }
            };
            let results = self.apply(repository, &commands, &rules);
            if !commands.is_empty() {
                let _ = output.send(receive::report(&commands, &results, head.capabilities).into()).await;
            }
            Ok(Exchanged { commands, options: head.options, refused: None })
        };
        cancel.run_until_cancelled(work).await.unwrap_or(Err(SourceError::Cancelled))
    }

    async fn fetch_submodule(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        commit: &CommitId,
        _cancel: CancellationToken,
    ) -> Result<(), SourceError> {
        self.bring_submodule(repository, remote, commit)
    }

    async fn list_host_keys(
        &self,
        _url: &RemoteUrl,
        _addresses: &[IpAddr],
    ) -> Result<Vec<PublicKey>, SourceError> {
        let mut inner = self.lock();
        match inner.failures.pop_front() {
            Some(error) => Err(error),
            None => Ok(inner.host_keys.clone()),
        }
    }

    async fn repack(
        &self,
        repository: &ProjectName,
        cancel: CancellationToken,
    ) -> Result<Repacked, SourceError> {
        self.look(repository, |_| Ok(()))?;
        if cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        let mut inner = self.lock();
        if inner.is_busy {
            return Ok(Repacked::Busy);
        }
        inner.repacked.push(repository.clone());
        Ok(Repacked::Done)
    }

    async fn describe(&self, repository: &ProjectName, commit: &CommitId) -> Result<Commit, SourceError> {
        self.look(repository, |found| Ok(found.get(repository, commit)?.commit.clone()))
    }

    async fn list_tree(
        &self,
        repository: &ProjectName,
        commit: &CommitId,
        folder: &RelativePath,
    ) -> Result<Tree, SourceError> {
        self.look(repository, |found| found.get(repository, commit)?.tree(&folder_of(folder)))
    }

    async fn read(
        &self,
        repository: &ProjectName,
        objects: &[ObjectId],
        limit: u64,
    ) -> Result<Vec<Vec<u8>>, SourceError> {
        check_count(objects)?;
        self.look(repository, |found| {
            let mut left = READ_BYTES_MAX;
            let mut contents = Vec::new();
            for object in objects {
                let content = found.blob(repository, object)?;
                let size = content.len() as u64;
                check_size(object, size, limit, left)?;
                left -= size;
                contents.push(content.clone());
            }
            Ok(contents)
        })
    }

    async fn pack(
        &self,
        repository: &ProjectName,
        plan: &PackPlan,
        output: mpsc::Sender<Bytes>,
        cancel: CancellationToken,
    ) -> Result<PackSummary, SourceError> {
        self.look(repository, |_| Ok(()))?;
        let work = async {
            let mut archive = Archive::new(output, plan.modified);
            for entry in &plan.entries {
                let content = self.content(repository, entry)?;
                match &entry.kind {
                    PackKind::Folder => archive.folder(entry).await?,
                    PackKind::Link { .. } => archive.link(entry, &content).await?,
                    PackKind::Object { .. } | PackKind::Bytes(_) => archive.file(entry, &content).await?,
                    PackKind::Local(file) => archive.local(entry, file).await?,
                }
            }
            archive.finish().await
        };
        cancel.run_until_cancelled(work).await.unwrap_or(Err(SourceError::Cancelled))
    }

    async fn changed_paths(
        &self,
        repository: &ProjectName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Option<Vec<String>>, SourceError> {
        self.look(repository, |found| {
            let (Some(from), Some(to)) = (found.commits.get(from), found.commits.get(to)) else {
                return Ok(None);
            };
            let all: BTreeSet<&String> = from.files.keys().chain(to.files.keys()).collect();
            let changed = all.into_iter().filter(|path| from.files.get(*path) != to.files.get(*path));
            let changed: Vec<String> = changed.cloned().collect();
            Ok((changed.len() <= CHANGED_PATHS_MAX).then_some(changed))
        })
    }
}

impl FakeSource {
    /// Content of an entry of an archive.
    fn content(&self, repository: &ProjectName, entry: &PackEntry) -> Result<Vec<u8>, SourceError> {
        match &entry.kind {
            PackKind::Folder | PackKind::Local(_) => Ok(Vec::new()),
            PackKind::Bytes(bytes) => Ok(bytes.clone()),
            PackKind::Object { object, .. } | PackKind::Link { object, .. } => {
                self.look(repository, |found| found.blob(repository, object).cloned())
            }
        }
    }
}
