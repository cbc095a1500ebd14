//! One published folder: opens files below it without ever leaving it, and keeps small ones in memory.
//! It does not choose which file answers a request (`answer`). Tests: `tests/it/site.rs`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

/// Largest file kept in memory; above it `sendfile` wins over a copy (measured, `edge.md` section 4).
pub(super) const SMALL_FILE: u64 = 32 * 1024;
/// Most bytes of small files in memory, over all sites.
const MAX_MEMORY: usize = 16 * 1024 * 1024;
/// What an entry costs beside its body: key, map slot, allocation headers.
const ENTRY_COST: usize = 256;

/// Reading flags: never through a link, never waiting for a FIFO.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// What a name leads to.
#[derive(Debug)]
pub(super) enum Entry {
    /// A file of at most [`SMALL_FILE`] bytes.
    Small(Bytes),
    /// A larger file and its size.
    Large(File, u64),
    /// A folder.
    Folder,
    /// Nothing that may be shown.
    Missing,
}

/// One published folder, open.
#[derive(Debug)]
pub(super) struct Folder {
    root: OwnedFd,
    small: RwLock<HashMap<String, Bytes>>,
    /// Bytes kept in all folders together.
    memory: Arc<AtomicUsize>,
}

impl Folder {
    /// Opens the folder itself.
    pub(super) fn open(path: &Path, memory: Arc<AtomicUsize>) -> io::Result<Self> {
        let root = openat(CWD, path, FLAGS | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { root, small: RwLock::default(), memory })
    }

    /// Looks `relative` up (no empty, `.` or `..` segment, not empty itself).
    pub(super) fn find(&self, relative: &str) -> io::Result<Entry> {
        if let Some(body) = self.small.read().unwrap_or_else(PoisonError::into_inner).get(relative) {
            return Ok(Entry::Small(body.clone()));
        }
        let file = match open_beneath(self.root.as_fd(), relative) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG) => {
                return Ok(Entry::Missing);
            }
            // A socket cannot be opened.
            Err(Errno::NXIO) => return Ok(Entry::Missing),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Entry::Folder),
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                if size > SMALL_FILE {
                    return Ok(Entry::Large(File::from(file), size));
                }
                let body = read_small(&File::from(file), size)?;
                self.keep(relative, &body);
                Ok(Entry::Small(body))
            }
            _ => Ok(Entry::Missing),
        }
    }

    /// Keeps `body` unless memory is full.
    fn keep(&self, relative: &str, body: &Bytes) {
        let cost = body.len() + relative.len() + ENTRY_COST;
        if self.memory.fetch_add(cost, Ordering::Relaxed) + cost > MAX_MEMORY {
            self.memory.fetch_sub(cost, Ordering::Relaxed);
            return;
        }
        let mut small = self.small.write().unwrap_or_else(PoisonError::into_inner);
        if small.insert(relative.to_owned(), body.clone()).is_some() {
            // Two workers read it at the same time.
            self.memory.fetch_sub(cost, Ordering::Relaxed);
        }
    }

    /// Forgets everything kept.
    pub(super) fn forget(&self) {
        let small = std::mem::take(&mut *self.small.write().unwrap_or_else(PoisonError::into_inner));
        let cost: usize = small.iter().map(|(name, body)| body.len() + name.len() + ENTRY_COST).sum();
        self.memory.fetch_sub(cost, Ordering::Relaxed);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Whether memory is full, so that the caller starts afresh.
pub(super) fn is_full(memory: &AtomicUsize) -> bool {
    memory.load(Ordering::Relaxed) + ENTRY_COST + usize::try_from(SMALL_FILE).unwrap_or(0) > MAX_MEMORY
}

fn open_beneath(root: std::os::fd::BorrowedFd<'_>, relative: &str) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, relative, FLAGS, Mode::empty(), resolve) {
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, relative),
        answer => answer,
    }
}

/// The same without `openat2`: one folder after the other, none of them through a link.
pub(super) fn open_stepwise(
    root: std::os::fd::BorrowedFd<'_>,
    relative: &str,
) -> rustix::io::Result<OwnedFd> {
    let mut folder: Option<OwnedFd> = None;
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    for segment in folders.split('/').filter(|segment| !segment.is_empty()) {
        let at = folder.as_ref().map_or(root, AsFd::as_fd);
        folder = Some(openat(at, segment, FLAGS | OFlags::DIRECTORY, Mode::empty())?);
    }
    openat(folder.as_ref().map_or(root, AsFd::as_fd), name, FLAGS, Mode::empty())
}

fn read_small(file: &File, size: u64) -> io::Result<Bytes> {
    let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut body, 0)?;
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    //! The stepwise way is what old kernels get; it must refuse exactly what `openat2` refuses.

    use super::*;

    #[test]
    fn both_ways_agree() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("site");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/c.txt"), "inside").unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("b", root.join("a/inner")).unwrap();
        let folder = Folder::open(&root, Arc::default()).unwrap();
        for (name, is_there) in [
            ("a/b/c.txt", true),
            ("a/b", true),
            ("a/x", false),
            ("link", false),
            ("up/secret", false),
            ("a/inner/c.txt", false),
            ("a/b/c.txt/d", false),
        ] {
            let modern = open_beneath(folder.root.as_fd(), name).is_ok();
            let old = open_stepwise(folder.root.as_fd(), name).is_ok();
            assert_eq!((modern, old), (is_there, is_there), "{name}");
        }
    }
}
