//! Where repositories lie and how they come, go and are tidied up after a crash. Each is a bare repository `<project>.git`
//! that appears and disappears by rename, so that half of one is never seen. Tests in `tests/it/contract.rs` and
//! `tests/it/git.rs`.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, DirEntry, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use havre_core::name::ProjectName;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::sync::CancellationToken;

use super::command::Git;
use super::ssh;
use crate::error::SourceError;

/// An empty folder, git's `HOME`.
const HOME: &str = ".home";
/// A repository that is being made.
const NEW: &str = ".new-";
/// A repository that is being removed.
const GONE: &str = ".gone-";
/// What one fetch over SSH needs, a deploy key among it.
const SSH: &str = ".ssh-";
/// What git may say when it makes a repository.
const WORDS_MAX: u64 = 64 * 1024;

/// The folder of all repositories.
#[derive(Debug)]
pub(super) struct Repositories {
    folder: PathBuf,
    count: AtomicU64,
    /// Pushes at work in each repository.
    pushing: Mutex<BTreeMap<ProjectName, usize>>,
    /// Held while a push begins.
    beginning: tokio::sync::Mutex<()>,
    /// Who may write to each repository: several pushes, or one that packs it anew.
    turns: Mutex<BTreeMap<ProjectName, Turns>>,
}

/// The turns of one repository.
#[derive(Debug, Clone, Default)]
struct Turns {
    lock: Arc<RwLock<()>>,
    /// Asks whoever packs it anew to make way.
    make_way: CancellationToken,
}

/// The only one that writes to a repository.
#[derive(Debug)]
pub(super) struct Alone {
    make_way: CancellationToken,
    _turn: OwnedRwLockWriteGuard<()>,
}

impl Alone {
    /// Ends when somebody wants to push.
    pub(super) async fn make_way(&self) {
        self.make_way.cancelled().await;
    }
}

/// A push at work. While there is one, nothing in its repository is tidied up.
#[derive(Debug)]
pub(super) struct Pushing<'a> {
    repositories: &'a Repositories,
    repository: ProjectName,
    _turn: OwnedRwLockReadGuard<()>,
}

impl Drop for Pushing<'_> {
    fn drop(&mut self) {
        let mut pushing = self.repositories.lock();
        if let Some(count) = pushing.get_mut(&self.repository) {
            *count -= 1;
            if *count == 0 {
                pushing.remove(&self.repository);
            }
        }
    }
}

impl Repositories {
    /// Makes the folder where there is none and removes what a crash has left in it. Blocks; for the start only, when no
    /// git of ours is at work.
    pub(super) fn open(folder: &Path) -> Result<Self, SourceError> {
        let failed = |error| SourceError::failed(format!("prepare the folder {}", folder.display()), error);
        // Source may hold secrets: nobody else reads it.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        tidy_folder(&folder).map_err(failed)?;
        let home = folder.join(HOME);
        remove_all(&home).map_err(failed)?;
        DirBuilder::new().mode(0o700).create(&home).map_err(failed)?;
        Ok(Self {
            folder,
            count: AtomicU64::new(0),
            pushing: Mutex::new(BTreeMap::new()),
            beginning: tokio::sync::Mutex::new(()),
            turns: Mutex::new(BTreeMap::new()),
        })
    }

    /// An empty folder.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.join(HOME)
    }

    /// Where the repository is, if there is one.
    pub(super) async fn find(&self, repository: &ProjectName) -> Result<Option<PathBuf>, SourceError> {
        let directory = self.directory(repository);
        let is_there = tokio::fs::try_exists(directory.join("HEAD")).await;
        let is_there = is_there
            .map_err(|error| SourceError::failed(format!("find the repository of {repository}"), error))?;
        Ok(is_there.then_some(directory))
    }

    /// Every project with a repository, by name.
    pub(super) async fn list(&self) -> Result<Vec<ProjectName>, SourceError> {
        let folder = self.folder.clone();
        blocking("list the repositories", move || {
            let mut found = Vec::new();
            for entry in entries(&folder)? {
                let name = entry.file_name();
                let name = name.to_str().and_then(|name| name.strip_suffix(".git"));
                found.extend(name.and_then(|name| name.parse::<ProjectName>().ok()));
            }
            found.sort();
            Ok(found)
        })
        .await
    }

    /// Where the repository is.
    ///
    /// # Errors
    /// [`SourceError::RepositoryMissing`].
    pub(super) async fn get(&self, repository: &ProjectName) -> Result<PathBuf, SourceError> {
        let missing = || SourceError::RepositoryMissing { repository: repository.clone() };
        self.find(repository).await?.ok_or_else(missing)
    }

    /// Makes the repository where there is none.
    pub(super) async fn ensure(&self, git: &Git, repository: &ProjectName) -> Result<(), SourceError> {
        if self.find(repository).await?.is_some() {
            return Ok(());
        }
        let what = format!("make the repository of {repository}");
        let temporary = self.temporary(NEW, repository);
        let mut command = git.command(&[]);
        // Without a template there are no sample hooks, and nothing of the machine's.
        command.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=main"]);
        command.args(["--object-format=sha1", "--"]).arg(&temporary);
        let made = git.run(&what, command, b"", WORDS_MAX).await.map(drop);
        let (folder, target) = (self.folder.clone(), self.directory(repository));
        let failure = what.clone();
        blocking(&what, move || {
            let published = made.and_then(|()| {
                publish(&temporary, &target, &folder).map_err(|error| SourceError::failed(failure, error))
            });
            // Nothing is there any more once it was renamed.
            remove_all(&temporary)?;
            Ok(published)
        })
        .await?
    }

    /// Removes the repository; an absent one is fine.
    pub(super) async fn remove(&self, repository: &ProjectName) -> Result<(), SourceError> {
        let (directory, gone) = (self.directory(repository), self.temporary(GONE, repository));
        let folder = self.folder.clone();
        blocking(&format!("remove the repository of {repository}"), move || {
            match fs::rename(directory, &gone) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                renamed => renamed?,
            }
            sync(&folder)?;
            remove_all(&gone)
        })
        .await
    }

    /// Announces a push. The first one at work in a repository removes what one that was killed has left there: its
    /// quarantine, and locks that would refuse every later push.
    pub(super) async fn begin_push(
        &self,
        repository: &ProjectName,
        directory: &Path,
    ) -> Result<Pushing<'_>, SourceError> {
        let turns = self.turns(repository);
        turns.make_way.cancel();
        // Short: git is killed where it was packing.
        let turn = turns.lock.read_owned().await;
        let _beginning = self.beginning.lock().await;
        let is_first = {
            let mut pushing = self.lock();
            let count = pushing.entry(repository.clone()).or_default();
            *count += 1;
            *count == 1
        };
        let pushing = Pushing { repositories: self, repository: repository.clone(), _turn: turn };
        if is_first {
            let directory = directory.to_owned();
            blocking(&format!("tidy up the repository of {repository}"), move || tidy(&directory)).await?;
        }
        Ok(pushing)
    }

    /// A repository for one that packs it anew, tidied up as before a push; `None` while somebody pushes.
    pub(super) async fn begin_repack(
        &self,
        repository: &ProjectName,
        directory: &Path,
    ) -> Result<Option<Alone>, SourceError> {
        let make_way = CancellationToken::new();
        let lock = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let turns = all.entry(repository.clone()).or_default();
            // Before the turn is taken, so that a push which begins now is heard in any case.
            turns.make_way = make_way.clone();
            Arc::clone(&turns.lock)
        };
        let Ok(turn) = lock.try_write_owned() else { return Ok(None) };
        let directory = directory.to_owned();
        blocking(&format!("tidy up the repository of {repository}"), move || tidy(&directory)).await?;
        Ok(Some(Alone { make_way, _turn: turn }))
    }

    fn turns(&self, repository: &ProjectName) -> Turns {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(repository.clone()).or_default().clone()
    }

    fn directory(&self, repository: &ProjectName) -> PathBuf {
        self.folder.join(format!("{repository}.git"))
    }

    /// Place for what one fetch over SSH needs; nothing is there yet.
    pub(super) fn for_ssh(&self, repository: &ProjectName) -> PathBuf {
        self.temporary(SSH, repository)
    }

    fn temporary(&self, start: &str, repository: &ProjectName) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{start}{number}-{repository}"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProjectName, usize>> {
        self.pushing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does something that waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    what: &str,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(act).await;
    let done = done.map_err(|error| SourceError::failed(what, error))?;
    done.map_err(|error| SourceError::failed(what, error))
}

/// Gives a repository its name; one that somebody else has made meanwhile stays.
fn publish(temporary: &Path, target: &Path, folder: &Path) -> io::Result<()> {
    sync_all(temporary)?;
    match fs::rename(temporary, target) {
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            Ok(())
        }
        renamed => renamed.and_then(|()| sync(folder)),
    }
}

/// Makes a name in a folder, or the content of a file, survive a power cut.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The same for everything in a folder.
fn sync_all(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                sync(&entry.path())?;
            }
        }
        sync(&folder)?;
    }
    Ok(())
}

/// Removes a folder with everything in it; an absent one is fine.
pub(super) fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes half-made and half-removed repositories, and what was left in the others.
fn tidy_folder(folder: &Path) -> io::Result<()> {
    for entry in entries(folder)? {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(NEW.as_bytes()) || name.starts_with(GONE.as_bytes()) {
            remove_all(&entry.path())?;
        } else if name.starts_with(SSH.as_bytes()) {
            ssh::tidy(&entry.path())?;
        } else if name.ends_with(b".git") && entry.file_type()?.is_dir() {
            tidy(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes what a killed push, fetch or repack has left in a repository. No ref can be taken for a lock: their names do not end so.
pub(super) fn tidy(repository: &Path) -> io::Result<()> {
    for entry in entries(&repository.join("objects/pack"))? {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"tmp_") || name.starts_with(b".tmp-") || name.ends_with(b".lock") {
            remove_file(&entry.path())?;
        }
    }
    // Git makes this one beside the lock, and never over one that is there.
    remove_file(&repository.join("packed-refs.new"))?;
    for entry in entries(&repository.join("objects"))? {
        if entry.file_name().as_encoded_bytes().starts_with(b"tmp_objdir-") {
            remove_all(&entry.path())?;
        }
    }
    for entry in entries(repository)? {
        remove_lock(&entry)?;
    }
    let mut folders = vec![repository.join("refs")];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                remove_lock(&entry)?;
            }
        }
    }
    Ok(())
}

/// What is in a folder; nothing in one that is not there.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}

fn remove_lock(entry: &DirEntry) -> io::Result<()> {
    if !entry.file_name().as_encoded_bytes().ends_with(b".lock") || !entry.file_type()?.is_file() {
        return Ok(());
    }
    let path = entry.path();
    tracing::info!(path = %path.display(), "removing the lock of a push that was killed");
    remove_file(&path)
}

/// Removes a file; an absent one is fine.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
