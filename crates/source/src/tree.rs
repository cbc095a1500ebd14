//! What a commit holds, as git lists it: paths, kinds, sizes, ids; no contents. Pure. What of it goes into a context is decided
//! in [`crate::context`]. Tests at the end of the file.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use havre_core::name::NameError;
use havre_core::source::CommitId;
use havre_core::time::Timestamp;

/// Most entries of a commit that are listed.
pub const ENTRIES_MAX: usize = 500_000;

/// The id of a blob or tree; what it names never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(CommitId);

impl ObjectId {
    /// Lower-case hex.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ObjectId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File {
        /// Whether it may be run.
        is_executable: bool,
    },
    /// A symbolic link; its target is the blob.
    Link,
    /// A folder.
    Folder,
    /// The place of another repository, of which only a commit's id is known.
    Submodule,
}

impl EntryKind {
    /// The kind of a mode as git writes it, in octal; `None` for one that git does not make.
    pub fn of_mode(mode: u32) -> Option<Self> {
        match mode {
            0o040_000 => Some(Self::Folder),
            0o120_000 => Some(Self::Link),
            0o160_000 => Some(Self::Submodule),
            // 0o100_664 is in histories of the first years of git.
            0o100_644 | 0o100_664 => Some(Self::File { is_executable: false }),
            0o100_755 => Some(Self::File { is_executable: true }),
            _ => None,
        }
    }

    /// Permission bits in an archive; git itself keeps only whether a file may be run.
    pub const fn mode(self) -> u32 {
        match self {
            Self::File { is_executable: false } => 0o644,
            Self::File { is_executable: true } | Self::Folder | Self::Submodule => 0o755,
            Self::Link => 0o777,
        }
    }
}

/// One file, folder, link or submodule of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Path relative to the folder that was listed. Any bytes but zero: git knows no text here.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file or of a link's target, 0 for others.
    pub size: u64,
    /// Its blob or tree; of a submodule the commit, and of the folder that took its place.
    pub object: ObjectId,
}

impl TreeEntry {
    /// The path, if it is text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.path).ok()
    }
}

/// Everything below one folder of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The commit.
    pub commit: CommitId,
    /// When it was made; the time of every entry in an archive.
    pub committed_at: Timestamp,
    entries: Vec<TreeEntry>,
}

impl Tree {
    /// Puts the entries into their order.
    pub fn new(commit: CommitId, committed_at: Timestamp, mut entries: Vec<TreeEntry>) -> Self {
        entries.sort_by(|left, right| compare(&left.path, &right.path));
        Self { commit, committed_at, entries }
    }

    /// The entries; a folder before what is in it, names of one folder by their bytes.
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The entry of that path.
    pub fn find(&self, path: &str) -> Option<&TreeEntry> {
        let found = self.entries.binary_search_by(|entry| compare(&entry.path, path.as_bytes()));
        found.ok().map(|index| &self.entries[index])
    }

    /// Submodules with the commits they are at, those with names that are no text left out.
    pub fn submodules(&self) -> impl Iterator<Item = (&str, CommitId)> {
        let submodules = self.entries.iter().filter(|entry| entry.kind == EntryKind::Submodule);
        submodules.filter_map(|entry| entry.text().map(|path| (path, entry.object.0.clone())))
    }

    /// The same with a folder of what another commit holds in place of the submodule of that path. Nothing changes where there is none.
    #[must_use]
    pub fn graft(mut self, path: &str, other: &Self) -> Self {
        let found = self.entries.binary_search_by(|entry| compare(&entry.path, path.as_bytes()));
        let Ok(index) = found else { return self };
        if self.entries[index].kind != EntryKind::Submodule {
            return self;
        }
        self.entries[index].kind = EntryKind::Folder;
        self.entries.extend(
            other.entries.iter().map(|entry| TreeEntry {
                path: [path.as_bytes(), b"/", &entry.path].concat(),
                ..entry.clone()
            }),
        );
        Self::new(self.commit, self.committed_at, self.entries)
    }

    /// Files with their paths, those with names that are no text left out.
    pub fn files(&self) -> impl Iterator<Item = (&str, &TreeEntry)> {
        let files = self.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
        files.filter_map(|entry| entry.text().map(|path| (path, entry)))
    }
}

/// The order of a walk: part by part. Git's own puts `a.txt` before what is in `a`.
fn compare(left: &[u8], right: &[u8]) -> Ordering {
    left.split(|byte| *byte == b'/').cmp(right.split(|byte| *byte == b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> TreeEntry {
        let object = "ab".repeat(20).parse().expect("is an id");
        TreeEntry { path: path.as_bytes().to_vec(), kind, size: 0, object }
    }

    #[test]
    fn one_order_and_found_again() {
        let file = EntryKind::File { is_executable: false };
        let paths = ["a.txt", "a", "a/b", "a-b", "é", "a/b.c", "B", "a/b/c"];
        let entries = paths.iter().map(|path| entry(path, file)).collect();
        let commit = "cd".repeat(20).parse().expect("is a commit");
        let mut tree = Tree::new(commit, Timestamp::default(), entries);
        let seen: Vec<&str> = tree.files().map(|(path, _)| path).collect();
        assert_eq!(seen, ["B", "a", "a/b", "a/b/c", "a/b.c", "a-b", "a.txt", "é"]);
        for path in paths {
            assert_eq!(tree.find(path).and_then(TreeEntry::text), Some(path));
        }
        assert_eq!(tree.find("a/c"), None);
        tree.entries[0] = TreeEntry { path: b"\xff".to_vec(), ..tree.entries[0].clone() };
        assert_eq!(tree.files().count(), paths.len() - 1);
    }

    #[test]
    fn a_submodule_becomes_a_folder_of_what_its_commit_holds() {
        let file = EntryKind::File { is_executable: false };
        let tree = |entries: Vec<TreeEntry>| {
            Tree::new("cd".repeat(20).parse().expect("is a commit"), Timestamp::default(), entries)
        };
        let outer = tree(vec![
            entry("a", file),
            entry("lib", EntryKind::Submodule),
            entry("lib.txt", file),
            entry("z", file),
        ]);
        let inner = tree(vec![entry("deep", EntryKind::Submodule), entry("main.js", file)]);
        let named: Vec<(&str, CommitId)> = outer.submodules().collect();
        assert_eq!(named, [("lib", "ab".repeat(20).parse().expect("is a commit"))]);
        let both = outer.clone().graft("lib", &inner);
        let seen: Vec<&str> = both.entries().iter().filter_map(TreeEntry::text).collect();
        assert_eq!(seen, ["a", "lib", "lib/deep", "lib/main.js", "lib.txt", "z"]);
        assert_eq!(both.find("lib").map(|entry| entry.kind), Some(EntryKind::Folder));
        assert_eq!(both.submodules().map(|(path, _)| path).collect::<Vec<_>>(), ["lib/deep"]);
        assert_eq!(outer.clone().graft("a", &inner), outer, "only a submodule is replaced");
        assert_eq!(outer.clone().graft("none", &inner), outer);
    }

    #[test]
    fn modes_of_git() {
        let table = [
            (0o100_644, Some(0o644)),
            (0o100_664, Some(0o644)),
            (0o100_755, Some(0o755)),
            (0o120_000, Some(0o777)),
            (0o040_000, Some(0o755)),
            (0o160_000, Some(0o755)),
            (0o100_600, None),
            (0, None),
        ];
        for (mode, expected) in table {
            assert_eq!(EntryKind::of_mode(mode).map(EntryKind::mode), expected, "{mode:o}");
        }
    }
}
