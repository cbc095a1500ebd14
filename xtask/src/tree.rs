//! The text files of the repository, read once. It leaves out what tools make (`target`, `node_modules`, `dist`) and
//! hidden folders other than `.ci`. Tests: at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Files that some check reads, by the end of their names.
const READ: [&str; 5] = [".rs", ".md", ".toml", "package-lock.json", ".npmrc"];

/// Folders that hold what tools make.
const MADE: [&str; 3] = ["target", "node_modules", "dist"];

/// Path below the root, with `/`, to text.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads all files under `root` that some check wants.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = root.join(&folder);
            for entry in std::fs::read_dir(&path).with_context(|| format!("list {}", path.display()))? {
                let entry = entry?;
                // A name that is not UTF-8 cannot be a name of ours.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let below = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                let kind = entry.file_type()?;
                let is_hidden = name.starts_with('.') && name != ".ci";
                if kind.is_dir() && !is_hidden && !MADE.contains(&name.as_str()) {
                    folders.push(below);
                } else if kind.is_file() && READ.iter().any(|end| name.ends_with(end)) {
                    let text = std::fs::read_to_string(entry.path())
                        .with_context(|| format!("read {}", entry.path().display()))?;
                    tree.files.insert(below, text);
                }
            }
        }
        Ok(tree)
    }

    /// The text of one file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Path and text of all files whose path ends so, sorted by path.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// A tree for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }
}

/// The folder of the repository. Cargo says where it is at run time too: a program out of a shared target folder may have
/// been compiled in another checkout.
pub(crate) fn root() -> Option<PathBuf> {
    let compiled = || env!("CARGO_MANIFEST_DIR").into();
    let package: PathBuf = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(compiled, PathBuf::from);
    package.parent().map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_this_repository_without_what_tools_make() {
        let tree = Tree::load(&root().unwrap()).unwrap();
        assert!(tree.get("xtask/src/tree.rs").is_some_and(|text| text.contains("fn loads_this_repository")));
        assert!(tree.get("crates/core/Cargo.toml").is_some());
        let made = |(path, _): &(&str, &str)| path.split('/').any(|part| MADE.contains(&part));
        assert_eq!(tree.ending("").find(made), None);
    }
}
