//! One published site on disk: opens files below its folders without ever leaving them, and keeps in memory what was
//! asked for, within one budget for all sites. It does not choose which file answers a request (`answer`).
//! Tests: `tests/it/site.rs`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use havre_site::document::{self, Encoding};
use rustix::fs::{Advice, CWD, FileType, Mode, OFlags, ResolveFlags, fadvise, fstat, openat, openat2};
use rustix::io::Errno;

use super::Cdn;
use super::index::{self, Index};
use super::reply::{Body, Lines};

/// Largest body kept in memory.
const SMALL_FILE: u64 = 32 * 1024;
/// Largest body that is only there: above it, `sendfile` wins over a copy where nothing is encrypted (measured,
/// `bench/edge`).
const COPIED_FILE: u64 = 8 * 1024;
/// Most bytes of small bodies and their heads in memory, over all sites.
const MAX_MEMORY: usize = 32 * 1024 * 1024;
/// Most larger files kept open, over all sites; part of the descriptors that `worker` leaves to the rest.
const MAX_OPEN: usize = 128;
/// From how many on only those are opened that are not in memory.
const MANY_OPEN: usize = 96;
/// What an entry costs beside its body: heads, allocation headers.
const ENTRY_COST: usize = 1024;
/// How much of a larger file is read before a worker sends it, so that its disk makes no other connection wait.
const WARM: usize = 512 * 1024;

/// Reading flags: never through a link, never waiting for a FIFO.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// One representation of a file, ready to be sent.
#[derive(Debug)]
pub(super) struct Kept {
    /// Rules of `_headers` that are in the lines.
    pub(super) rules: Box<[u16]>,
    /// Settings for a CDN that are in the lines.
    pub(super) cdn: Option<Cdn>,
    /// Of a whole answer.
    pub(super) lines: Lines,
    /// Of 304.
    pub(super) short: Lines,
    pub(super) body: Body,
}

/// What all sites together have in memory.
#[derive(Debug, Default)]
pub(super) struct Budget {
    bytes: AtomicUsize,
    open: AtomicUsize,
}

impl Budget {
    /// Whether there is room for one more of each.
    pub(super) fn is_full(&self) -> bool {
        let small = usize::try_from(SMALL_FILE).unwrap_or(0);
        self.bytes.load(Ordering::Relaxed) + ENTRY_COST + small > MAX_MEMORY
            || self.open.load(Ordering::Relaxed) >= MAX_OPEN
    }

    /// Whether a file that is in memory is worth a descriptor as well.
    fn opens(&self, size: u64) -> bool {
        size > COPIED_FILE && self.open.load(Ordering::Relaxed) < MANY_OPEN
    }

    fn take(&self, body: &Body) {
        self.bytes.fetch_add(cost(body), Ordering::Relaxed);
        self.open.fetch_add(usize::from(matches!(body, Body::File { .. })), Ordering::Relaxed);
    }

    fn give_back(&self, body: &Body) {
        self.bytes.fetch_sub(cost(body), Ordering::Relaxed);
        self.open.fetch_sub(usize::from(matches!(body, Body::File { .. })), Ordering::Relaxed);
    }
}

fn cost(body: &Body) -> usize {
    ENTRY_COST
        + match body {
            Body::Bytes(bytes) | Body::File { copy: Some(bytes), .. } => bytes.len(),
            Body::None | Body::File { copy: None, .. } => 0,
        }
}

/// One published site, open.
#[derive(Debug)]
pub(super) struct Folder {
    /// Lower-case hex.
    pub(super) digest: String,
    pub(super) index: Index,
    root: OwnedFd,
    made: Option<OwnedFd>,
    budget: Arc<Budget>,
}

impl Folder {
    /// Opens the folders of a site and reads what is known of it. Blocks.
    pub(super) fn open(sites: &Path, digest: &str, budget: Arc<Budget>) -> io::Result<Self> {
        let path = sites.join(digest);
        let root = openat(CWD, &path, FLAGS | OFlags::DIRECTORY, Mode::empty())?;
        let made = sites.join(document::made_folder(digest));
        let made = match openat(CWD, &made, FLAGS | OFlags::DIRECTORY, Mode::empty()) {
            Ok(made) => Some(made),
            Err(Errno::NOENT) => None,
            Err(problem) => return Err(problem.into()),
        };
        let index = match &made {
            Some(made) => {
                let (text, written) = read_document(made.as_fd())?;
                Index::of_document(&text, written)?
            }
            None => Index::of_folder(&path, seconds(fstat(&root)?.st_mtime))?,
        };
        Ok(Self { digest: digest.to_owned(), index, root, made, budget })
    }

    /// Opens one representation of a file of the index, and reads it where it is small. Blocks.
    pub(super) fn load(
        &self,
        path: &str,
        file: &index::File,
        encoding: Option<Encoding>,
    ) -> io::Result<Body> {
        let (folder, name, expected) = match (encoding, &self.made) {
            (None, _) => (self.root.as_fd(), path.to_owned(), file.size),
            (Some(encoding), Some(made)) => {
                let name = document::made_file(&file.sha256, encoding);
                (made.as_fd(), name, file.made[encoding as usize])
            }
            (Some(_), None) => return Err(io::ErrorKind::NotFound.into()),
        };
        let opened = File::from(open_beneath(folder, &name)?);
        let stat = fstat(&opened)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size != expected {
            let problem = format!("{name:?} has {size} bytes, it was published with {expected}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if size > SMALL_FILE {
            warm(&opened, size)?;
            return Ok(Body::File { file: Arc::new(opened), offset: 0, length: size, copy: None });
        }
        let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
        opened.read_exact_at(&mut body, 0)?;
        if self.budget.opens(size) {
            let copy = Some(body.into());
            return Ok(Body::File { file: Arc::new(opened), offset: 0, length: size, copy });
        }
        Ok(Body::Bytes(body.into()))
    }

    /// Keeps a representation, in place of what was kept of it before.
    pub(super) fn keep(&self, file: &index::File, encoding: Option<Encoding>, kept: Arc<Kept>) {
        self.budget.take(&kept.body);
        if let Some(before) = file.kept[index::File::place(encoding)].swap(Some(kept)) {
            self.budget.give_back(&before.body);
        }
    }

    /// Forgets everything kept.
    pub(super) fn forget(&self) {
        for (_, file) in self.index.files() {
            for kept in &file.kept {
                if let Some(before) = kept.swap(None) {
                    self.budget.give_back(&before.body);
                }
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.forget();
    }
}

fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// The document and when it was written.
fn read_document(made: BorrowedFd<'_>) -> io::Result<(Vec<u8>, u64)> {
    let file = File::from(open_beneath(made, document::FILE_NAME)?);
    let stat = fstat(&file)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > document::SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the document of the site is too large"));
    }
    let mut text = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(document::SIZE_MAX).read_to_end(&mut text)?;
    Ok((text, seconds(stat.st_mtime)))
}

/// Reads the beginning of a larger file, and asks for the rest of it.
fn warm(file: &File, size: u64) -> io::Result<()> {
    // Advice only: where it is not understood, the file is read when it is sent.
    let _ = fadvise(file, 0, None, Advice::WillNeed);
    let mut scratch = vec![0; usize::try_from(size).unwrap_or(WARM).min(WARM)];
    file.read_exact_at(&mut scratch, 0)
}

fn open_beneath(root: BorrowedFd<'_>, relative: &str) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, relative, FLAGS, Mode::empty(), resolve) {
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, relative),
        answer => answer,
    }
}

/// The same without `openat2`: one folder after the other, none of them through a link.
fn open_stepwise(root: BorrowedFd<'_>, relative: &str) -> rustix::io::Result<OwnedFd> {
    let mut folder: Option<OwnedFd> = None;
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    for segment in folders.split('/').filter(|segment| !segment.is_empty()) {
        let at = folder.as_ref().map_or(root, AsFd::as_fd);
        folder = Some(openat(at, segment, FLAGS | OFlags::DIRECTORY, Mode::empty())?);
    }
    openat(folder.as_ref().map_or(root, AsFd::as_fd), name, FLAGS, Mode::empty())
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
        let folder = openat(CWD, &root, FLAGS | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for (name, is_there) in [
            ("a/b/c.txt", true),
            ("a/b", true),
            ("a/x", false),
            ("link", false),
            ("up/secret", false),
            ("a/inner/c.txt", false),
            ("a/b/c.txt/d", false),
        ] {
            let modern = open_beneath(folder.as_fd(), name).is_ok();
            let old = open_stepwise(folder.as_fd(), name).is_ok();
            assert_eq!((modern, old), (is_there, is_there), "{name}");
        }
    }
}
