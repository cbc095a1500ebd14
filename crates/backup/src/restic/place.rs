//! What is done to a repository, synchronously: each call opens it anew, so that nothing of an earlier one is believed. How a stream
//! becomes a snapshot takes two of them: [`Place::take_in`] stores it under a tag that nobody lists, [`Place::confirm`] reads all of it
//! back, and only what came out the same gets a snapshot that is listed. A crash in between leaves nothing that looks like a backup.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use havre_core::backup::{Content, RepositoryId, SnapshotId};
use havre_core::secret::Secret;
use rustic_core::repofile::{MasterKey, Node, SnapshotFile, SnapshotId as FileId};
use rustic_core::{
    BackupOptions, CheckOptions, CheckResults, ConfigOptions, Credentials, Id, IndexedFullStatus, IndexedIds,
    KeyOptions, OpenStatus, ParentOptions, PruneOptions, RepairIndexOptions, Repository, RepositoryBackends,
    RepositoryOptions, RusticError, RusticResult, TreeId, WriteBackend, jiff,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dump::{PART_BYTES, Part};
use crate::error::{READ_BACK, READ_INDEX, RepositoryError};
use crate::fault::Fault;
use crate::repository::{Entry, Pruned, Snapshot};
use crate::restic::label::{self, PENDING};
use crate::restic::said::in_one_line;
use crate::restic::storage::{Backend, Storage, Trouble};
use crate::restic::stream::{Blobs, OneFile, Watch, Watched};

/// Where a repository is, and what opens it.
#[derive(Debug)]
pub(super) struct Place {
    storage: Arc<dyn Storage>,
    password: Secret,
    /// What the password opened, since that takes a second by design.
    key: Mutex<Option<Key>>,
    /// Held while descriptions of snapshots are removed, or all of them read: a reader must not be told of one that is gone by then.
    names: Mutex<()>,
    /// Streams that are stored now.
    under_way: Mutex<Vec<Entry>>,
    /// What a crash has left was looked for, and everything of since was removed: to look reads the description of every snapshot.
    is_tidy: AtomicBool,
}

/// The key of the repository, which nothing may print.
#[derive(Clone)]
struct Key(MasterKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A stream that was stored and not read back yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    id: FileId,
    tree: TreeId,
    /// Bytes it has added.
    pub(super) added_bytes: u64,
}

/// An open repository and the storage below it.
pub(super) struct Open<S> {
    pub(super) backend: Arc<Backend>,
    pub(super) inner: Repository<S>,
}

/// A snapshot that can be read.
pub(super) struct Readable {
    backend: Arc<Backend>,
    blobs: Blobs,
    expected: Content,
    tree: TreeId,
    place: String,
}

impl Place {
    pub(super) fn new(storage: Arc<dyn Storage>, password: Secret) -> Self {
        Self {
            storage,
            password,
            key: Mutex::new(None),
            names: Mutex::new(()),
            under_way: Mutex::default(),
            is_tidy: AtomicBool::new(false),
        }
    }

    pub(super) fn location(&self) -> String {
        self.storage.location()
    }

    /// A stream is stored from now on.
    pub(super) fn begin(&self, entry: &Entry) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
    }

    /// It is stored no more, however that ended.
    pub(super) fn end(&self, entry: &Entry) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = under_way.iter().position(|one| one == entry) {
            under_way.swap_remove(at);
        }
    }

    fn is_under_way(&self, file: &SnapshotFile) -> bool {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.iter().any(|entry| label::is_of(file, entry))
    }

    fn failed(&self, doing: &'static str, reason: impl ToString) -> RepositoryError {
        RepositoryError::Failed { doing, place: self.location(), reason: in_one_line(&reason.to_string()) }
    }

    /// What the storage said by itself.
    fn faulted(&self, doing: &'static str, fault: Fault) -> RepositoryError {
        let text = fault.to_string();
        fault.into_error(doing, self.location(), text)
    }

    pub(super) fn troubled(&self, doing: &'static str, trouble: Trouble) -> RepositoryError {
        trouble.fault.into_error(doing, self.location(), trouble.text)
    }

    /// The storage's own words where it has some: they name the file, and what `rustic_core` says may come from far above.
    pub(super) fn said(
        &self,
        doing: &'static str,
        backend: &Backend,
        error: &RusticError,
    ) -> RepositoryError {
        match backend.trouble() {
            Some(trouble) => self.troubled(doing, trouble),
            None => self.failed(doing, error.display_log()),
        }
    }

    /// An `Ok` is believed only where the storage saw no failure.
    fn settled(&self, doing: &'static str, backend: &Backend) -> Result<(), RepositoryError> {
        backend.trouble().map_or(Ok(()), |trouble| Err(self.troubled(doing, trouble)))
    }

    fn unopened(&self) -> Result<Open<()>, RepositoryError> {
        let backend = Arc::new(Backend::new(self.storage.clone()));
        let below: Arc<dyn WriteBackend> = backend.clone();
        // No cache: what is read back has to come from the repository.
        let options = RepositoryOptions::default().no_cache(true);
        let inner = Repository::new(&options, &RepositoryBackends::new(below, None))
            .map_err(|error| self.said("open the repository", &backend, &error))?;
        Ok(Open { backend, inner })
    }

    fn password(&self) -> Result<Credentials, RepositoryError> {
        let text = self.password.expose_text().filter(|text| !text.is_empty());
        text.map(Credentials::password)
            .ok_or_else(|| RepositoryError::WrongPassword { place: self.location() })
    }

    fn open_with(&self, credentials: &Credentials) -> Result<Open<OpenStatus>, RepositoryError> {
        let Open { backend, inner } = self.unopened()?;
        if !backend.has_config().map_err(|fault| self.faulted("open the repository", fault))? {
            return Err(RepositoryError::Missing { place: self.location() });
        }
        let inner = inner.open(credentials).map_err(|error| {
            // A key that cannot be read is one that does not fit, says the library.
            if backend.trouble().is_none() && error.is_incorrect_password() {
                return RepositoryError::WrongPassword { place: self.location() };
            }
            self.said("open the repository", &backend, &error)
        })?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(Key(inner.key()));
        Ok(Open { backend, inner })
    }

    fn opened(&self) -> Result<Open<OpenStatus>, RepositoryError> {
        let known = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(Key(key)) => self.open_with(&Credentials::Masterkey(key)),
            None => self.open_with(&self.password()?),
        }
    }

    /// Open, and with the whole index in memory: one entry for each blob, which are a megabyte on average.
    pub(super) fn indexed(&self) -> Result<Open<IndexedFullStatus>, RepositoryError> {
        let Open { backend, inner } = self.opened()?;
        let inner = inner.to_indexed().map_err(|error| self.said(READ_INDEX, &backend, &error))?;
        Ok(Open { backend, inner })
    }

    pub(super) fn init(&self) -> Result<RepositoryId, RepositoryError> {
        let doing = "make a repository";
        let occupied =
            |reason: &str| RepositoryError::Occupied { place: self.location(), reason: reason.to_owned() };
        let Open { backend, inner } = self.unopened()?;
        if backend.has_config().map_err(|fault| self.faulted(doing, fault))? {
            return Err(occupied("there is one"));
        }
        if backend.has_data().map_err(|fault| self.faulted(doing, fault))? {
            return Err(occupied(
                "there are backups, but the file `config` is missing; it must not be made anew",
            ));
        }
        backend.remove_keys().map_err(|fault| self.faulted(doing, fault))?;
        let made = inner
            .init(&self.password()?, &KeyOptions::default(), &ConfigOptions::default())
            .map_err(|error| self.said(doing, &backend, &error))?;
        self.settled(doing, &backend)?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(Key(made.key()));
        self.id_of(&made)
    }

    /// Asks the password, whatever is known already.
    pub(super) fn open(&self) -> Result<RepositoryId, RepositoryError> {
        self.id_of(&self.open_with(&self.password()?)?.inner)
    }

    fn id_of(&self, repository: &Repository<OpenStatus>) -> Result<RepositoryId, RepositoryError> {
        let id = repository.config().id.into_inner();
        id.to_hex()
            .as_str()
            .parse::<RepositoryId>()
            .map_err(|error| self.failed("read the id of the repository", error))
    }

    /// First half of storing. It is `Ok` also where the reader failed: the watch on it knows.
    pub(super) fn take_in(
        &self,
        entry: &Entry,
        reader: impl Read + Send + 'static,
    ) -> Result<Pending, RepositoryError> {
        let doing = "store a stream";
        let Open { backend, inner } = self.opened()?;
        let fail = |error: Box<RusticError>| self.said(doing, &backend, &error);
        // Said before it is done: what somebody leaves meanwhile is looked for again.
        if !self.is_tidy.swap(true, Ordering::SeqCst) {
            self.tidy(&backend, &inner).map_err(|error| self.untidy(error))?;
        }
        let inner = inner.to_indexed_ids().map_err(fail)?;
        let file = label::describe(entry, [PENDING.to_owned()]);
        let saved = archive(&inner, entry, file, 0, reader).map_err(|error| self.untidy(fail(error)))?;
        let pending = Pending {
            id: saved.id,
            tree: saved.tree,
            added_bytes: saved.summary.map_or(0, |summary| summary.data_added_packed),
        };
        if let Err(error) = self.settled(doing, &backend) {
            self.discard(&pending)?;
            return Err(error);
        }
        Ok(pending)
    }

    /// Removes what a crash has left between the two halves; who is in between now is known.
    fn tidy(&self, backend: &Backend, inner: &Repository<OpenStatus>) -> Result<(), RepositoryError> {
        let doing = "store a stream";
        let fail = |error: Box<RusticError>| self.said(doing, backend, &error);
        let _held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let left: Vec<FileId> = inner
            .get_all_snapshots()
            .map_err(fail)?
            .iter()
            .filter(|one| label::is_pending(one) && !self.is_under_way(one))
            .map(|one| one.id)
            .collect();
        inner.delete_snapshots(&left).map_err(fail)?;
        self.settled(doing, backend)
    }

    /// A half may be left: over a network an answer can be lost when the file is there. It is looked for before the next stream.
    fn untidy<E>(&self, error: E) -> E {
        self.is_tidy.store(false, Ordering::SeqCst);
        error
    }

    /// Removes what [`Place::take_in`] has left.
    pub(super) fn discard(&self, pending: &Pending) -> Result<(), RepositoryError> {
        self.remove_half(pending.id)
    }

    fn remove_half(&self, id: FileId) -> Result<(), RepositoryError> {
        self.remove(&[id]).map_err(|error| self.untidy(error))
    }

    /// Second half: reads everything back, described once more with its size, and where it is the same writes the snapshot that is listed.
    pub(super) fn confirm(
        &self,
        pending: &Pending,
        entry: &Entry,
        produced: &Content,
        cancel: &CancellationToken,
    ) -> Result<Snapshot, RepositoryError> {
        let doing = READ_BACK;
        let Open { backend, inner } = self.indexed()?;
        let inner = Arc::new(inner);
        let node = self.node(&backend, &inner, pending.tree, entry)?;
        let content = node.content.unwrap_or_default();
        let watch = Watch::default();
        let blobs = Blobs::new(inner.clone(), content.clone());
        let reader = Watched::new(blobs, watch.clone(), cancel.clone());
        // Pending as well: what cannot be read is left out of it without an error.
        let file = label::describe(entry, [PENDING.to_owned()]);
        let second = archive(&inner, entry, file, produced.bytes, reader)
            .map_err(|error| self.untidy(self.said(doing, &backend, &error)))?;
        let snapshot = self
            .settled(doing, &backend)
            .and_then(|()| watch.content().map_err(|error| self.unread(error)))
            .and_then(|found| same(produced, found))
            .and_then(|()| self.described_alike(&second, entry, &content, produced))
            .and_then(|()| self.publish(&second, entry, produced));
        let removed = self.remove_half(second.id);
        if let (Ok(_), Err(error)) = (&snapshot, &removed) {
            // It is never listed, and the next run removes it.
            tracing::warn!(%error, "the second half of a snapshot could not be removed");
        }
        snapshot
    }

    /// Writes the snapshot that is listed: the same tree, under tags that say what it is.
    fn publish(
        &self,
        second: &SnapshotFile,
        entry: &Entry,
        produced: &Content,
    ) -> Result<Snapshot, RepositoryError> {
        let doing = "write a snapshot";
        let Open { backend, inner } = self.opened()?;
        let fail = |error: Box<RusticError>| self.said(doing, &backend, &error);
        let mut file = label::describe(entry, label::of_content(produced));
        file.tree = second.tree;
        file.paths = second.paths.clone();
        file.summary = second.summary.clone();
        let before: BTreeSet<FileId> = inner.list::<FileId>().map_err(fail)?.collect();
        inner.save_snapshots(vec![file.clone()]).map_err(fail)?;
        self.settled(doing, &backend)?;
        // Nobody says what its id is; it is the one that was not there before, and is no other one that is stored at the same time.
        let after: BTreeSet<FileId> = inner.list::<FileId>().map_err(fail)?.collect();
        for id in after.difference(&before) {
            // One that is gone already was somebody's first half.
            let Ok(found) = inner.get_file::<SnapshotFile>(id) else { continue };
            let is_this = found.tree == file.tree && label::is_of(&found, entry);
            if is_this && !label::is_pending(&found) {
                file.id = *id;
            }
        }
        label::snapshot(&file).ok_or_else(|| match backend.trouble() {
            Some(trouble) => self.troubled(doing, trouble),
            None => self.failed(doing, "it cannot be found after it was written"),
        })
    }

    /// What a reader of the repository says is about the repository, not about a source.
    fn unread(&self, error: RepositoryError) -> RepositoryError {
        match error {
            RepositoryError::Source { reason } => self.failed(READ_BACK, reason),
            other => other,
        }
    }

    /// Opens the repository once more and looks at the new description as anybody else would.
    fn described_alike(
        &self,
        saved: &SnapshotFile,
        entry: &Entry,
        content: &[rustic_core::DataId],
        produced: &Content,
    ) -> Result<(), RepositoryError> {
        let Open { backend, inner } = self.indexed()?;
        let node = self.node(&backend, &inner, saved.tree, entry)?;
        if node.content.as_deref() == Some(content) && node.meta.size == produced.bytes {
            return Ok(());
        }
        Err(self.failed(READ_BACK, "its two descriptions differ"))
    }

    fn node(
        &self,
        backend: &Backend,
        repository: &Repository<IndexedFullStatus>,
        tree: TreeId,
        entry: &Entry,
    ) -> Result<Node, RepositoryError> {
        repository
            .node_from_path(tree, &label::path(&entry.name))
            .map_err(|error| self.said("find the file of a snapshot", backend, &error))
    }

    pub(super) fn list(&self) -> Result<Vec<Snapshot>, RepositoryError> {
        let doing = "list snapshots";
        let Open { backend, inner } = self.opened()?;
        let held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let files = inner.get_all_snapshots().map_err(|error| self.said(doing, &backend, &error))?;
        drop(held);
        self.settled(doing, &backend)?;
        let mut found: Vec<Snapshot> = files.iter().filter_map(label::snapshot).collect();
        found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
        Ok(found)
    }

    /// A snapshot of ours, ready to be read.
    pub(super) fn readable(&self, id: &SnapshotId) -> Result<Readable, RepositoryError> {
        let found = self.list()?.into_iter().find(|one| one.id == *id);
        let snapshot = found.ok_or_else(|| RepositoryError::SnapshotMissing { id: id.clone() })?;
        let Open { backend, inner } = self.indexed()?;
        let inner = Arc::new(inner);
        let file: SnapshotFile = inner
            .get_file(&file_id(id).map_err(|error| self.said("read a snapshot", &backend, &error))?)
            .map_err(|error| self.said("read a snapshot", &backend, &error))?;
        let entry = Entry { name: snapshot.name, tags: snapshot.tags, at: snapshot.at };
        let node = self.node(&backend, &inner, file.tree, &entry)?;
        let blobs = Blobs::new(inner, node.content.unwrap_or_default());
        Ok(Readable { backend, blobs, expected: snapshot.content, tree: file.tree, place: self.location() })
    }

    pub(super) fn verify(
        &self,
        id: &SnapshotId,
        cancel: &CancellationToken,
    ) -> Result<Content, RepositoryError> {
        let doing = "verify a snapshot";
        let readable = self.readable(id)?;
        let tree = readable.tree;
        let content = readable.read(cancel, |_| true)?;
        let Open { backend, inner } = self.opened()?;
        let results = inner
            .check_with_trees(CheckOptions::default().read_data(true), vec![tree])
            .map_err(|error| self.said(doing, &backend, &error))?;
        self.settled(doing, &backend)?;
        match findings(&results).first() {
            None => Ok(content),
            Some(finding) => Err(self.failed(doing, finding)),
        }
    }

    pub(super) fn forget(&self, ids: &[SnapshotId]) -> Result<(), RepositoryError> {
        let there: Vec<SnapshotId> = self.list()?.into_iter().map(|one| one.id).collect();
        let mut files = Vec::new();
        for id in ids.iter().filter(|id| there.contains(*id)) {
            files.push(file_id(id).map_err(|error| self.failed("forget a snapshot", error.display_log()))?);
        }
        self.remove(&files)
    }

    fn remove(&self, ids: &[FileId]) -> Result<(), RepositoryError> {
        let doing = "remove a snapshot";
        let Open { backend, inner } = self.opened()?;
        let _held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        inner.delete_snapshots(ids).map_err(|error| self.said(doing, &backend, &error))?;
        self.settled(doing, &backend)
    }

    pub(super) fn prune(&self, grace: Duration) -> Result<Pruned, RepositoryError> {
        let doing = "prune the repository";
        let Open { backend, inner } = self.opened()?;
        let fail = |error: Box<RusticError>| self.said(doing, &backend, &error);
        let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let grace = jiff::Span::new().try_seconds(seconds).map_err(|error| self.failed(doing, error))?;
        let options = PruneOptions::default().keep_delete(grace);
        let plan = inner.prune_plan(&options).map_err(fail)?;
        // A list that was not whole would look like packs that nobody needs.
        self.settled(doing, &backend)?;
        let sizes = plan.stats.size_sum();
        let pruned = Pruned {
            marked_bytes: sizes.remove + sizes.repackrm,
            removed_bytes: plan.stats.size_to_delete.remove,
        };
        inner.prune(&options, plan).map_err(fail)?;
        self.settled(doing, &backend)?;
        Ok(pruned)
    }

    pub(super) fn check(&self) -> Result<Vec<String>, RepositoryError> {
        let Open { backend, inner } = self.opened()?;
        let results = inner
            .check(CheckOptions::default().read_data(true))
            .map_err(|error| self.said("check the repository", &backend, &error))?;
        let mut found = findings(&results);
        match backend.trouble() {
            None => {}
            Some(Trouble { fault: Fault::Broken(_), text }) => found.push(text),
            // Says nothing about the repository.
            Some(trouble) => return Err(self.troubled("check the repository", trouble)),
        }
        Ok(found)
    }

    pub(super) fn repair(&self) -> Result<Vec<String>, RepositoryError> {
        let doing = "repair the repository";
        // Opened first, so that nothing is moved in a repository that is somebody else's.
        let Open { backend, inner } = self.opened()?;
        let aside = backend.set_damaged_aside().map_err(|fault| self.faulted(doing, fault))?;
        inner
            .repair_index(&RepairIndexOptions::default(), false)
            .map_err(|error| self.said(doing, &backend, &error))?;
        self.settled(doing, &backend)?;
        Ok(aside)
    }
}

impl Readable {
    /// Reads everything and hands it to `take`, which says whether to go on. All of it came only where this is `Ok`.
    fn read(
        self,
        cancel: &CancellationToken,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<Content, RepositoryError> {
        let Self { backend, blobs, expected, place, .. } = self;
        let watch = Watch::default();
        let mut reader = Watched::new(blobs, watch.clone(), cancel.clone());
        let mut buffer = vec![0; PART_BYTES];
        // What went wrong is in the watch.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if !take(&buffer[..count]) {
                return Err(RepositoryError::Cancelled);
            }
        }
        match watch.content() {
            Ok(found) => same(&expected, found).map(|()| expected),
            Err(RepositoryError::Source { reason }) => {
                let fault = backend.trouble().map_or(Fault::Broken(String::new()), |trouble| trouble.fault);
                Err(fault.into_error("read a snapshot", place, reason))
            }
            Err(other) => Err(other),
        }
    }

    /// Sends everything, then how it ended. Ends early where nobody listens.
    pub(super) fn send(self, parts: &mpsc::Sender<Part>, cancel: &CancellationToken) {
        let take = |bytes: &[u8]| parts.blocking_send(Part::Bytes(Bytes::copy_from_slice(bytes))).is_ok();
        let result = self.read(cancel, take);
        let _ = parts.blocking_send(Part::End(result));
    }
}

fn same(expected: &Content, found: Content) -> Result<(), RepositoryError> {
    if *expected == found {
        return Ok(());
    }
    Err(RepositoryError::Differs { expected: expected.clone(), found })
}

pub(super) fn file_id(id: &SnapshotId) -> RusticResult<FileId> {
    id.hex().parse::<Id>().map(FileId::from)
}

/// Stores one file as a snapshot of its own. Without a parent: a parent would say which files need not be read.
fn archive<S: IndexedIds, R: Read + Send + 'static>(
    repository: &Repository<S>,
    entry: &Entry,
    file: SnapshotFile,
    size: u64,
    reader: R,
) -> RusticResult<SnapshotFile> {
    let options = BackupOptions::default().parent_opts(ParentOptions::default().force(true)).no_scan(true);
    let path = label::path(&entry.name);
    let source = OneFile::new(path.clone(), size, label::instant(entry.at), reader);
    repository.archive(&options, &source, file, &[path])
}

/// What a check found, where any of it is an error; warnings alone are none, such as packs that the next prune removes.
fn findings(results: &CheckResults) -> Vec<String> {
    if results.is_ok().is_ok() {
        return Vec::new();
    }
    results.0.iter().map(|(level, error)| format!("{level:?}: {error}")).collect()
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
