//! What lies in a build context, as far as a review asks: names only, bounded, no link followed, and not what is inside
//! of folders that hold thousands of files. Tests at the end of the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Most files that are listed; what lies beyond is not judged.
const PATHS_MAX: usize = 50_000;
/// Folders nobody looks into; each stands for its files, with a slash at its end.
const CLOSED: [&str; 4] = [".git", "node_modules", ".venv", "target"];

/// Files of a folder by their paths in it. What cannot be read is left out.
pub(crate) fn list(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<(PathBuf, String)> = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if found.len() + waiting.len() >= PATHS_MAX {
                return found;
            }
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let path = format!("{prefix}{name}");
            if !kind.is_dir() {
                found.insert(path);
            } else if CLOSED.contains(&name.as_str()) {
                found.insert(format!("{path}/"));
            } else {
                waiting.push((entry.path(), format!("{path}/")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_thousands_stay_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["a", "b/c", "b/node_modules/x/y", ".git/HEAD"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            fs::write(path, "").expect("is written");
        }
        std::os::unix::fs::symlink("b", folder.path().join("link")).expect("is made");
        let found: Vec<String> = list(folder.path()).into_iter().collect();
        assert_eq!(found, [".git/", "a", "b/c", "b/node_modules/", "link"]);
        assert!(list(&folder.path().join("none")).is_empty());
    }
}
