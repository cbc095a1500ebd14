//! A repository as plain data. Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::name::RelativePath;

/// Largest file whose text is wanted in bytes.
pub const TEXT_MAX: u64 = 1024 * 1024;
/// Most paths of a snapshot.
pub const PATHS_MAX: usize = 200_000;

/// Every path of a repository, and the texts of some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every file, relative to the repository, with `/` between folders.
    pub paths: BTreeSet<String>,
    /// Texts of those [`wanted`] names, by path.
    pub texts: BTreeMap<String, String>,
}

/// Paths whose texts [`crate::stack::write`] may need for the program in `root`, of those in `paths`.
pub fn wanted(paths: &BTreeSet<String>, root: &RelativePath) -> Vec<String> {
    let _ = (paths, root);
    Vec::new()
}
