//! A repository as plain data, and which of its files are worth reading. Opens nothing. Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::name::RelativePath;
use serde_json::Value;

use crate::stack::{StackError, unclear};

/// Largest file whose text is wanted in bytes.
pub const TEXT_MAX: u64 = 1024 * 1024;
/// Most paths of a snapshot.
pub const PATHS_MAX: usize = 200_000;
/// Most texts of a snapshot.
const TEXTS_MAX: usize = 2000;

/// Wanted in the folder of the program and in every folder above it.
const NAMES: [&str; 72] = [
    // Locks whose text says which system libraries or extensions are needed.
    "Cargo.lock",
    "composer.lock",
    "uv.lock",
    "poetry.lock",
    // Any language.
    "Procfile",
    "app.json",
    ".tool-versions",
    // Node.js and sites.
    "package.json",
    ".nvmrc",
    ".node-version",
    ".yarnrc.yml",
    "angular.json",
    "nest-cli.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "tsconfig.json",
    // Python.
    "pyproject.toml",
    "Pipfile",
    "setup.py",
    "setup.cfg",
    ".python-version",
    "runtime.txt",
    "manage.py",
    "main.py",
    "app.py",
    "wsgi.py",
    "asgi.py",
    // Rust.
    "Cargo.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
    // Go.
    "go.mod",
    "go.work",
    "main.go",
    ".go-version",
    // Ruby.
    "Gemfile",
    "Gemfile.lock",
    ".ruby-version",
    "config.ru",
    "Rakefile",
    // PHP.
    "composer.json",
    "artisan",
    ".php-version",
    // Java.
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    "gradle.properties",
    "gradlew",
    "mvnw",
    ".java-version",
    ".sdkmanrc",
    "system.properties",
    // Settings of tools, in the forms they come in.
    "next.config.js",
    "next.config.mjs",
    "next.config.cjs",
    "next.config.ts",
    "vite.config.js",
    "vite.config.mjs",
    "vite.config.cjs",
    "vite.config.ts",
    "vite.config.mts",
    "astro.config.js",
    "astro.config.mjs",
    "astro.config.cjs",
    "astro.config.ts",
    "astro.config.mts",
    "svelte.config.js",
    "svelte.config.mjs",
    "svelte.config.ts",
    "vue.config.js",
    ".eleventy.js",
];

/// Wanted down to this many folders below the program.
const BELOW: usize = 3;
const NAMES_BELOW: [&str; 24] = [
    // Where a program starts, its settings, and its health path.
    "__init__.py",
    "server.py",
    "api.py",
    "application.py",
    "run.py",
    "base.py",
    "production.py",
    "local.py",
    "main.rs",
    "routes.rb",
    "app.rb",
    "app.php",
    "index.php",
    "wsgi.py",
    "asgi.py",
    "settings.py",
    "manage.py",
    "main.py",
    "app.py",
    "main.go",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "gradle-wrapper.properties",
];

/// Wanted wherever they are: workspaces and their members.
const NAMES_ANYWHERE: [&str; 2] = ["package.json", "Cargo.toml"];

/// Folders of what others wrote or a build made.
const FOREIGN: [&str; 4] = ["node_modules", "vendor", "target", ".git"];

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
    let mut near = Vec::new();
    let mut far = Vec::new();
    for path in paths {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        if folder.split('/').any(|part| FOREIGN.contains(&part)) {
            continue;
        }
        if is_near(root.as_str(), folder, name) {
            near.push(path.clone());
        } else if NAMES_ANYWHERE.contains(&name) {
            far.push(path.clone());
        }
    }
    // What is near decides more, so it is never left out for what is far.
    near.extend(far);
    near.truncate(TEXTS_MAX);
    near
}

fn is_near(root: &str, folder: &str, name: &str) -> bool {
    if inside(folder, root).is_some() {
        let is_list = name.starts_with("requirements") && name.ends_with(".txt");
        return is_list || NAMES.contains(&name);
    }
    let Some(below) = inside(root, folder) else { return false };
    let is_list = below == "requirements" && name.ends_with(".txt");
    is_list || (below.split('/').count() <= BELOW && NAMES_BELOW.contains(&name))
}

/// A path below a folder, `.` being the repository.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        (".", name) => name.to_owned(),
        (folder, ".") => folder.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

/// A path as seen from a folder that holds it, `.` for the folder itself; `None` when it lies elsewhere.
pub(crate) fn inside<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder == "." {
        return Some(path);
    }
    match path.strip_prefix(folder)? {
        "" => Some("."),
        rest => rest.strip_prefix('/'),
    }
}

impl Snapshot {
    /// Whether a folder holds a file of this name, which may be a path below it.
    pub fn has(&self, root: &RelativePath, name: &str) -> bool {
        self.paths.contains(&self.path(root, name))
    }

    /// The text of a file in a folder; `None` when there is none, or none that was read.
    pub fn text(&self, root: &RelativePath, name: &str) -> Option<&str> {
        self.texts.get(&self.path(root, name)).map(String::as_str)
    }

    /// The path of a name in a folder.
    pub fn path(&self, root: &RelativePath, name: &str) -> String {
        join(root.as_str(), name)
    }

    /// Whether a folder holds another folder of this name with a file in it.
    pub fn has_folder(&self, root: &RelativePath, name: &str) -> bool {
        let start = format!("{}/", self.path(root, name));
        self.paths.range(start.clone()..).next().is_some_and(|path| path.starts_with(&start))
    }

    /// A file as JSON; `None` when there is none.
    pub fn json(&self, root: &RelativePath, name: &str) -> Option<Result<Value, StackError>> {
        let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
        self.parsed(root, name, parse)
    }

    /// A file as TOML; `None` when there is none.
    pub fn toml(&self, root: &RelativePath, name: &str) -> Option<Result<toml::Table, StackError>> {
        let parse =
            |text: &str| toml::from_str::<toml::Table>(text).map_err(|error| error.message().to_owned());
        self.parsed(root, name, parse)
    }

    fn parsed<T>(
        &self,
        root: &RelativePath,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Result<T, StackError>> {
        let Some(text) = self.text(root, name) else {
            let unread = || {
                let reason = format!("{name} is not text in UTF-8, or larger than {} KiB", TEXT_MAX / 1024);
                unclear(root, reason, "repair it")
            };
            return self.has(root, name).then(|| Err(unread()));
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Some(parse(text).map_err(|why| {
            let reason = format!("{name} cannot be read: {}", why.replace('\n', " "));
            unclear(root, reason, "repair it")
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> RelativePath {
        text.parse().expect("a path")
    }

    #[test]
    fn what_is_wanted() {
        let paths: BTreeSet<String> = [
            "package.json",
            ".nvmrc",
            "README.md",
            "apps/.nvmrc",
            "apps/api/Procfile",
            "apps/api/config/settings.py",
            "apps/api/a/b/c/d/settings.py",
            "apps/api/requirements-dev.txt",
            "apps/api/node_modules/x/package.json",
            "apps/web/package.json",
            "apps/web/Procfile",
            "crates/a/Cargo.toml",
            "crates/vendor/b/Cargo.toml",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(
            wanted(&paths, &root("apps/api")),
            [
                ".nvmrc",
                "apps/.nvmrc",
                "apps/api/Procfile",
                "apps/api/config/settings.py",
                "apps/api/requirements-dev.txt",
                "package.json",
                "apps/web/package.json",
                "crates/a/Cargo.toml",
            ]
        );
    }

    #[test]
    fn paths_and_folders() {
        let snapshot = Snapshot {
            paths: ["a/b/c", "a/bc"].map(str::to_owned).into(),
            texts: BTreeMap::from([("a/bc".to_owned(), "\u{feff}{}".to_owned())]),
        };
        assert!(snapshot.has(&root("a"), "b/c") && !snapshot.has(&root("a"), "b"));
        assert!(snapshot.has_folder(&root("."), "a") && snapshot.has_folder(&root("a"), "b"));
        assert!(!snapshot.has_folder(&root("a"), "bc"));
        assert_eq!(snapshot.path(&root("."), "x"), "x");
        assert_eq!(snapshot.json(&root("a"), "bc"), Some(Ok(serde_json::json!({}))));
        assert!(snapshot.json(&root("a"), "b/c").is_some_and(|read| read.is_err()), "it was not read");
        assert_eq!(snapshot.json(&root("a"), "none"), None);
        assert_eq!(inside("a", "a/b"), Some("b"));
        assert_eq!((inside("a", "a"), inside("a", "ab"), inside(".", "a")), (Some("."), None, Some("a")));
    }
}
