//! What of a commit's tree goes into a context, in which order and with which modes, decided before a byte is read. Pure.
//! The same files as `havre deploy` uploads from a checkout (`cli/src/build/walk.rs`), refused for the same reasons as an
//! upload (`build/src/context/verify.rs`), but with the path named before anything is built. Does not read contents:
//! targets of links and pointers of git-lfs are judged by `check_link` and `is_pointer` when they are. Tests in
//! `context_tests.rs`.

use std::collections::BTreeMap;
use std::mem;
use std::path::PathBuf;

use havre_core::build::ignore::Ignore;
use havre_core::name::RelativePath;
use havre_core::quantity::ByteSize;
use havre_core::source::lfs::POINTER_MAX;
use havre_core::time::Timestamp;

use crate::error::{SourceError, show};
use crate::tree::{EntryKind, ObjectId, Tree, TreeEntry};

/// Largest context, in bytes of its files.
pub const CONTEXT_MAX: ByteSize = ByteSize::mebibytes(512);
/// Most files, folders and links of one context.
pub const ENTRIES_MAX: usize = 200_000;
/// Most links of one context.
pub const LINKS_MAX: usize = 20_000;
/// Longest path in bytes.
pub const PATH_MAX: usize = 1024;
/// Longest part of a path in bytes; what Linux file systems take.
const PART_MAX: usize = 255;
/// Deepest nesting of folders.
const DEPTH_MAX: usize = 64;
/// Folders named when a context is too large.
const BIGGEST: usize = 3;

/// What to pack, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackPlan {
    /// The time every entry gets: that of the commit, so that the same commit makes the same bytes.
    pub modified: Timestamp,
    /// The entries; folders before what is inside.
    pub entries: Vec<PackEntry>,
}

/// One entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackEntry {
    /// Path in the archive, without a slash at its end.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub kind: PackKind,
}

/// What an entry of the archive is and where its content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackKind {
    /// A folder.
    Folder,
    /// A file that is a blob of the repository.
    Object {
        /// The blob.
        object: ObjectId,
        /// Its bytes.
        size: u64,
    },
    /// A symbolic link whose target is a blob of the repository.
    Link {
        /// The blob.
        object: ObjectId,
        /// Its bytes.
        size: u64,
    },
    /// A file that Havre brings along, such as a Dockerfile it wrote.
    Bytes(Vec<u8>),
    /// A file of this machine in place of what the commit holds there: the content of a pointer of git-lfs.
    Local(LocalFile),
}

/// A file of this machine that is there when the plan is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
}

impl PackPlan {
    /// Files that are small enough to be pointers of git-lfs: path in the archive, and blob.
    pub fn small_files(&self) -> impl Iterator<Item = (&str, &ObjectId)> {
        self.entries.iter().filter_map(|entry| match &entry.kind {
            PackKind::Object { object, size } if *size < POINTER_MAX => Some((entry.path.as_str(), object)),
            PackKind::Object { .. }
            | PackKind::Folder
            | PackKind::Link { .. }
            | PackKind::Bytes(_)
            | PackKind::Local(_) => None,
        })
    }

    /// The same with these files of this machine, by path in the archive, in place of what the commit holds there.
    ///
    /// # Errors
    /// [`SourceError::TooLarge`]: with them it is larger than a context may be.
    pub fn fill(mut self, files: &BTreeMap<String, LocalFile>) -> Result<Self, SourceError> {
        let mut bytes = 0_u64;
        for entry in &mut self.entries {
            let is_blob = matches!(entry.kind, PackKind::Object { .. });
            if is_blob && let Some(file) = files.get(&entry.path) {
                entry.kind = PackKind::Local(file.clone());
            }
            bytes = bytes.saturating_add(match &entry.kind {
                PackKind::Folder | PackKind::Link { .. } => 0,
                PackKind::Object { size, .. } => *size,
                PackKind::Bytes(content) => content.len() as u64,
                PackKind::Local(file) => file.size,
            });
        }
        if bytes > CONTEXT_MAX.as_bytes() {
            let filled: u64 = files.values().map(|file| file.size).fold(0, u64::saturating_add);
            return Err(SourceError::too_large(
                format!("the context with {}, {} of them of Git LFS", megabytes(bytes), megabytes(filled)),
                format!("{CONTEXT_MAX}; leave some out with a .dockerignore"),
            ));
        }
        Ok(self)
    }
}

/// What was packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackSummary {
    /// Number of files, folders and links.
    pub entries: usize,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Files that are only pointers of git-lfs, at most [`LFS_POINTERS_MAX`] of them. Whoever asked for the archive refuses it then:
    /// what they point to is not here, or [`PackPlan::fill`] would have put it in their place.
    pub lfs_pointers: Vec<String>,
}

/// Most pointers that are named.
pub const LFS_POINTERS_MAX: usize = 20;

/// Chooses what of `tree` goes into the context in its folder `context`. The files in `extra` come last; one of them takes
/// the place of a file of the same path, ignored or not.
///
/// # Errors
/// [`SourceError::PathMissing`] when the tree has no such folder; [`SourceError::Submodule`] and
/// [`SourceError::NameInvalid`] for what would go in and cannot; [`SourceError::TooLarge`] past the limits of this
/// file; [`SourceError::Refused`] for a tree that names a path twice, or an `extra` that is in the way of others.
pub fn plan_context(
    tree: &Tree,
    context: &RelativePath,
    ignore: &Ignore,
    extra: Vec<(String, Vec<u8>)>,
) -> Result<PackPlan, SourceError> {
    let folder = folder_of(context);
    let is_folder = |entry: &TreeEntry| entry.kind == EntryKind::Folder;
    if !folder.is_empty() && !tree.find(&folder).is_some_and(is_folder) {
        return Err(SourceError::PathMissing { commit: tree.commit.clone(), path: folder });
    }
    let prefix = if folder.is_empty() { folder } else { format!("{folder}/") };
    let mut walk = Walk::new(tree, ignore);
    for entry in tree.entries() {
        if let Some(path) = entry.path.strip_prefix(prefix.as_bytes()) {
            walk.entry(path, entry)?;
        }
    }
    for (path, bytes) in extra {
        walk.extra(path, bytes)?;
    }
    walk.finish()
}

/// The path as git writes it: nothing for the root, no `.` in between.
pub fn folder_of(path: &RelativePath) -> String {
    path.as_str().split('/').filter(|part| *part != ".").collect::<Vec<_>>().join("/")
}

struct Walk<'a> {
    tree: &'a Tree,
    ignore: &'a Ignore,
    entries: Vec<PackEntry>,
    bytes: u64,
    links: usize,
    /// A folder nothing of which goes in.
    passed: Option<Vec<u8>>,
    /// Folders that are out, but travel along as soon as something inside is taken back; outer ones first.
    open: Vec<String>,
    /// Bytes below each folder of the first two levels.
    sizes: BTreeMap<String, u64>,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a Tree, ignore: &'a Ignore) -> Self {
        Self {
            tree,
            ignore,
            entries: Vec::new(),
            bytes: 0,
            links: 0,
            passed: None,
            open: Vec::new(),
            sizes: BTreeMap::new(),
        }
    }

    fn entry(&mut self, path: &[u8], entry: &TreeEntry) -> Result<(), SourceError> {
        if self.passed.as_deref().is_some_and(|folder| is_below(path, folder)) {
            return Ok(());
        }
        // Lossy, so that a pattern can leave out what has no text; what goes in is checked below.
        let name = String::from_utf8_lossy(path);
        let is_folder = matches!(entry.kind, EntryKind::Folder | EntryKind::Submodule);
        let is_ignored = self.ignore.is_ignored(&name);
        if is_ignored && !(is_folder && self.ignore.may_keep_below(&name)) {
            if is_folder {
                self.passed = Some(path.to_vec());
            }
            return Ok(());
        }
        let name = check_path(path)?;
        let size = entry.size;
        let kind = match entry.kind {
            EntryKind::Folder if is_ignored => {
                self.open.push(name.to_owned());
                return Ok(());
            }
            EntryKind::Folder => PackKind::Folder,
            EntryKind::File { .. } => PackKind::Object { object: entry.object.clone(), size },
            EntryKind::Link => PackKind::Link { object: entry.object.clone(), size },
            EntryKind::Submodule => return Err(SourceError::Submodule { path: show(path) }),
        };
        self.push(name, entry.kind.mode(), kind)
    }

    fn push(&mut self, name: &str, mode: u32, kind: PackKind) -> Result<(), SourceError> {
        for folder in mem::take(&mut self.open) {
            if is_below(name.as_bytes(), folder.as_bytes()) {
                let mode = EntryKind::Folder.mode();
                self.entries.push(PackEntry { path: folder, mode, kind: PackKind::Folder });
            }
        }
        if self.entries.last().is_some_and(|last| last.path == name) {
            let reason = format!(
                "commit {} names the path {} twice; check the repository with `git fsck`",
                self.tree.commit.short(),
                show(name.as_bytes())
            );
            return Err(SourceError::Refused { reason });
        }
        match &kind {
            PackKind::Object { size, .. } => {
                self.bytes = self.bytes.saturating_add(*size);
                for (at, _) in name.match_indices('/').take(2) {
                    let sum = self.sizes.entry(name[..at].to_owned()).or_default();
                    *sum = sum.saturating_add(*size);
                }
            }
            PackKind::Link { .. } => self.links += 1,
            PackKind::Folder | PackKind::Bytes(_) | PackKind::Local(_) => {}
        }
        self.entries.push(PackEntry { path: name.to_owned(), mode, kind });
        Ok(())
    }

    fn extra(&mut self, path: String, bytes: Vec<u8>) -> Result<(), SourceError> {
        check_path(path.as_bytes())?;
        let in_the_way = |other: &str| SourceError::Refused {
            reason: format!(
                "the context needs a file {} of Havre's own, and the commit has {} there; rename that",
                show(path.as_bytes()),
                show(other.as_bytes())
            ),
        };
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        for entry in &mut self.entries {
            let is_folder = entry.kind == PackKind::Folder;
            if entry.path == path {
                if is_folder {
                    return Err(in_the_way(&entry.path));
                }
                if let PackKind::Object { size, .. } = entry.kind {
                    self.bytes = self.bytes.saturating_sub(size);
                }
                *entry = PackEntry { path, mode: 0o644, kind: PackKind::Bytes(bytes) };
                return Ok(());
            }
            if !is_folder && is_below(path.as_bytes(), entry.path.as_bytes()) {
                return Err(in_the_way(&entry.path));
            }
        }
        self.entries.push(PackEntry { path, mode: 0o644, kind: PackKind::Bytes(bytes) });
        Ok(())
    }

    fn finish(self) -> Result<PackPlan, SourceError> {
        let commit = self.tree.commit.short();
        if self.entries.len() > ENTRIES_MAX {
            return Err(SourceError::too_large(
                format!("the context of commit {commit} with {} files and folders", self.entries.len()),
                format!("{ENTRIES_MAX}; leave some out with a .dockerignore"),
            ));
        }
        if self.links > LINKS_MAX {
            return Err(SourceError::too_large(
                format!("the context of commit {commit} with {} links", self.links),
                format!("{LINKS_MAX}; leave some out with a .dockerignore"),
            ));
        }
        if self.bytes > CONTEXT_MAX.as_bytes() {
            return Err(SourceError::too_large(
                format!("the context of commit {commit} with {}{}", megabytes(self.bytes), self.biggest()),
                format!("{CONTEXT_MAX}; leave some out with a .dockerignore"),
            ));
        }
        Ok(PackPlan { modified: self.tree.committed_at, entries: self.entries })
    }

    fn biggest(&self) -> String {
        let mut sizes: Vec<(&String, &u64)> = self.sizes.iter().collect();
        sizes.sort_by(|left, right| right.1.cmp(left.1).then_with(|| left.0.cmp(right.0)));
        let named: Vec<String> = sizes
            .iter()
            .take(BIGGEST)
            .map(|(name, bytes)| format!("{}: {}", show(name.as_bytes()), megabytes(**bytes)))
            .collect();
        if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}MB", bytes.div_ceil(1 << 20))
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The path as text, if it can go into a context.
fn check_path(path: &[u8]) -> Result<&str, SourceError> {
    let wrong = |reason: &str| Err(SourceError::NameInvalid { name: show(path), reason: reason.to_owned() });
    let Ok(text) = std::str::from_utf8(path) else { return wrong("is not valid UTF-8") };
    if text.chars().any(char::is_control) {
        return wrong("contains a line break or another control character");
    }
    if text.len() > PATH_MAX {
        return wrong("is longer than 1024 bytes");
    }
    for part in text.split('/') {
        if matches!(part, "" | "." | "..") {
            return wrong("leaves its folder");
        }
        if part.len() > PART_MAX {
            return wrong("has a part longer than 255 bytes");
        }
    }
    if text.split('/').count() > DEPTH_MAX {
        return wrong("is nested deeper than 64 folders");
    }
    Ok(text)
}

/// Whether the link may go into a context: like an upload, only if it stays inside, wherever other links lead.
///
/// Stricter than resolving the text: `..` may stand only at the start, because after a part that may be a link itself
/// nobody knows where it leads.
///
/// # Errors
/// [`SourceError::Refused`], naming the link and its target.
pub(crate) fn check_link(path: &str, target: &[u8]) -> Result<(), SourceError> {
    if stays_inside(path, target) {
        return Ok(());
    }
    let reason = format!(
        "the link {} leads to {}, outside of the context; make it relative and inside, or leave it out with a \
         .dockerignore",
        show(path.as_bytes()),
        show(target)
    );
    Err(SourceError::Refused { reason })
}

fn stays_inside(path: &str, target: &[u8]) -> bool {
    let Ok(target) = std::str::from_utf8(target) else { return false };
    if target.is_empty() || target.len() > PATH_MAX || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let mut folders = path.matches('/').count();
    let mut went_down = false;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if went_down || folders == 0 => return false,
            ".." => folders -= 1,
            _ => went_down = true,
        }
    }
    true
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
