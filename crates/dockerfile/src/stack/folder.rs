//! The folder a program is in, as the file of its language sees it: what is there, and how the Dockerfile names it. Knows
//! no language. Tests at the end of the file.

use havre_core::name::RelativePath;
use toml::{Table, Value};

use crate::stack::{Snapshot, StackError, procfile, unclear};

/// A folder of a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Folder<'a> {
    snapshot: &'a Snapshot,
    root: RelativePath,
}

impl<'a> Folder<'a> {
    /// The folder `root`.
    pub(crate) fn new(snapshot: &'a Snapshot, root: &RelativePath) -> Self {
        Self { snapshot, root: root.clone() }
    }

    /// Whether it is the whole repository.
    pub(crate) fn is_repository(&self) -> bool {
        self.root.as_str() == "."
    }

    /// Whether a file is there, by its path below the folder.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.snapshot.has(&self.root, name)
    }

    /// The text of a file, where it was read.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.snapshot.text(&self.root, name)
    }

    /// The path of a file in the build context, which is the repository.
    pub(crate) fn path(&self, name: &str) -> String {
        self.snapshot.path(&self.root, name)
    }

    /// Paths of all files below the folder, relative to it.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'a str> {
        let prefix = self.prefix();
        self.snapshot.paths.iter().filter_map(move |path| path.strip_prefix(prefix.as_str()))
    }

    /// Paths and texts of all files below the folder that were read, relative to it.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = self.prefix();
        self.snapshot
            .texts
            .iter()
            .filter_map(move |(path, text)| Some((path.strip_prefix(prefix.as_str())?, text.as_str())))
    }

    fn prefix(&self) -> String {
        if self.is_repository() { String::new() } else { format!("{}/", self.root) }
    }

    /// Whether some file lies below a folder of this folder.
    pub(crate) fn has_folder(&self, name: &str) -> bool {
        self.snapshot.has_folder(&self.root, name)
    }

    /// The nearest folder above for which `is_wanted` holds.
    pub(crate) fn above(&self, is_wanted: impl Fn(&Folder<'a>) -> bool) -> Option<Folder<'a>> {
        let mut path = self.root.as_str();
        while path != "." {
            path = path.rsplit_once('/').map_or(".", |(above, _)| above);
            let root: RelativePath = path.parse().ok()?;
            let folder = Folder { snapshot: self.snapshot, root };
            if is_wanted(&folder) {
                return Some(folder);
            }
        }
        None
    }

    /// The path of `self` as seen from a folder above: `.` where they are the same.
    pub(crate) fn path_in(&self, above: &Folder<'_>) -> &str {
        let path = self.root.as_str();
        if path == above.root.as_str() {
            return ".";
        }
        path.strip_prefix(above.prefix().as_str()).unwrap_or(path)
    }

    /// A folder below, by a path that is inside of it; `None` where the path has characters we do not take.
    pub(crate) fn below(&self, path: &str) -> Option<Folder<'a>> {
        let root = if path == "." { self.root.to_string() } else { format!("{}{path}", self.prefix()) };
        Some(Folder { snapshot: self.snapshot, root: root.parse().ok()? })
    }

    /// What a `Procfile` says how the web process starts.
    pub(crate) fn web_command(&self) -> Option<Vec<String>> {
        procfile::web_command(self.snapshot, &self.root)
    }

    /// What was taken from `Procfile` and `app.json`, and what was not.
    pub(crate) fn notes(&self) -> Vec<String> {
        procfile::notes(self.snapshot, &self.root)
    }

    /// The health path of `app.json`, else the usual one.
    pub(crate) fn health_or(&self, usual: Option<String>) -> Option<String> {
        procfile::health_path(self.snapshot, &self.root).or(usual)
    }

    /// `COPY` of those of the files that are there, into the working directory; `None` where none is. The names are ours.
    pub(crate) fn copy(&self, names: &[&str]) -> Option<String> {
        let found: Vec<String> =
            names.iter().filter(|name| self.has(name)).map(|name| self.path(name)).collect();
        if found.is_empty() {
            return None;
        }
        Some(format!("COPY {} ./", found.join(" ")))
    }

    /// `COPY` of everything in the folder, into the working directory.
    pub(crate) fn copy_all(&self) -> String {
        format!("COPY {} ./", self.root)
    }

    /// Reads a TOML file; `None` where there is none.
    pub(crate) fn table(&self, name: &str) -> Result<Option<Table>, StackError> {
        self.snapshot.toml(&self.root, name).transpose()
    }

    /// Reads a JSON file; `None` where there is none.
    pub(crate) fn json(&self, name: &str) -> Result<Option<serde_json::Value>, StackError> {
        self.snapshot.json(&self.root, name).transpose()
    }

    /// The error of a folder whose language is known, while something else is not.
    pub(crate) fn unclear(&self, reason: impl Into<String>, hint: impl Into<String>) -> StackError {
        unclear(&self.root, reason, hint)
    }
}

/// The value under these keys, one table in the other.
pub(crate) fn value_at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (last, above) = keys.split_last()?;
    let mut table = table;
    for key in above {
        table = table.get(*key)?.as_table()?;
    }
    table.get(*last)
}

/// A repository for tests, from paths and texts.
#[cfg(test)]
pub(crate) fn snapshot_of(files: &[(&str, &str)]) -> Snapshot {
    Snapshot {
        paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        texts: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> RelativePath {
        path.parse().expect("a path")
    }

    #[test]
    fn files_are_named_from_the_repository() {
        let snapshot = snapshot_of(&[("apps/api/go.mod", "module x"), ("apps/apix/a", ""), ("go.sum", "")]);
        let folder = Folder::new(&snapshot, &at("apps/api"));
        assert_eq!(folder.paths().collect::<Vec<_>>(), ["go.mod"]);
        assert_eq!(folder.texts().collect::<Vec<_>>(), [("go.mod", "module x")]);
        assert_eq!(folder.copy(&["go.mod", "go.sum"]).as_deref(), Some("COPY apps/api/go.mod ./"));
        assert_eq!(folder.copy(&["go.sum"]), None);
        assert_eq!(folder.copy_all(), "COPY apps/api ./");
        let whole = Folder::new(&snapshot, &RelativePath::here());
        assert_eq!(whole.copy_all(), "COPY . ./");
        assert!(whole.has_folder("apps/api") && !whole.has_folder("apps/ap") && !folder.has_folder("apps"));
    }

    #[test]
    fn folders_above_and_below() {
        let snapshot = snapshot_of(&[("go.mod", "module x"), ("apps/api/cmd/main.go", "")]);
        let folder = Folder::new(&snapshot, &at("apps/api"));
        let above = folder.above(|folder| folder.has("go.mod")).expect("is above");
        assert!(above.is_repository());
        assert_eq!(folder.path_in(&above), "apps/api");
        assert_eq!(folder.path_in(&folder), ".");
        assert!(above.above(|_| true).is_none());
        assert!(folder.below("cmd").is_some_and(|folder| folder.has("main.go")));
        assert!(folder.below("../x").is_none() && folder.below("a b").is_none());
    }

    #[test]
    fn broken_files_are_named() {
        let snapshot = snapshot_of(&[("a/x.toml", "x = "), ("a/x.json", "{"), ("a/y.toml", "[a.b]\nc = 1")]);
        let folder = Folder::new(&snapshot, &at("a"));
        let error = folder.table("x.toml").expect_err("is wrong").to_string();
        assert!(error.contains("x.toml cannot be read"), "{error}");
        let error = folder.json("x.json").expect_err("is wrong").to_string();
        assert!(error.contains("x.json cannot be read"), "{error}");
        let table = folder.table("y.toml").expect("is right").expect("is there");
        assert_eq!(value_at(&table, &["a", "b", "c"]).and_then(Value::as_integer), Some(1));
        assert_eq!(value_at(&table, &["a", "x", "c"]), None);
    }
}
