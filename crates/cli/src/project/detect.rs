//! Finds the services and sites of a repository: Dockerfiles, `package.json`, Vite, monorepos. Reads a bounded number
//! of small files and changes nothing. Tests: in `init`.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::project::dockerfile::{self, Hints};

/// Largest file that is read.
const FILE_MAX: u64 = 256 * 1024;
/// Most folders that are looked at.
const FOLDERS_MAX: usize = 100;
/// Folders of monorepos whose subfolders are programs.
const NESTS: [&str; 3] = ["apps", "services", "sites"];
/// Folders people give their programs in a small repository.
const USUAL: [&str; 10] =
    ["api", "backend", "server", "web", "frontend", "client", "app", "site", "www", "worker"];
/// Packages that listen on a port.
const SERVERS: [&str; 9] = [
    "@nestjs/core",
    "express",
    "fastify",
    "koa",
    "hono",
    "next",
    "nuxt",
    "@remix-run/serve",
    "@sveltejs/adapter-node",
];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A program.
    Service {
        /// Folder relative to the repository, `.` for itself.
        folder: String,
        /// What its Dockerfile says; `None` when there is none.
        dockerfile: Option<Hints>,
        /// The Dockerfile copies by paths of the repository.
        is_context_here: bool,
    },
    /// A folder of files.
    Site {
        /// Folder relative to the repository, `.` for itself.
        folder: String,
        /// Dockerfile that makes the files, and where they end up in its image.
        build: Option<String>,
        /// The Dockerfile copies by paths of the repository.
        is_context_here: bool,
        /// Folder of finished files inside `folder`; `.` for itself.
        finished: &'static str,
        /// A single-page application.
        spa: bool,
    },
}

/// Looks at a repository.
pub(crate) fn detect(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for folder in folders(root) {
        found.extend(look(root, &folder));
    }
    // A repository of several programs often has a package.json that only ties them together.
    if found.is_empty() || root.join("Dockerfile").is_file() {
        found.extend(look(root, "."));
    }
    found
}

fn folders(root: &Path) -> Vec<String> {
    let mut folders: Vec<String> = USUAL.iter().map(|name| (*name).to_owned()).collect();
    for nest in NESTS {
        let Ok(entries) = fs::read_dir(root.join(nest)) else { continue };
        let names = entries.take(FOLDERS_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        folders.extend(names.map(|name| format!("{nest}/{name}")));
    }
    folders.retain(|folder| root.join(folder).is_dir() && !folder.contains("node_modules"));
    folders.sort();
    folders.truncate(FOLDERS_MAX);
    folders
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(FILE_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn look(root: &Path, folder: &str) -> Option<Found> {
    let path = root.join(folder);
    let hints = read(&path.join("Dockerfile")).map(|text| dockerfile::read(&text));
    let package: Option<Value> =
        read(&path.join("package.json")).and_then(|text| serde_json::from_str(&text).ok());
    let is_context_here = hints.as_ref().is_some_and(|hints| is_context_here(root, folder, hints));
    let folder = folder.to_owned();
    if is_site(&path, package.as_ref()) {
        let build = hints.map(|hints| hints.output.unwrap_or_else(|| "/site".to_owned()));
        return Some(Found::Site { folder, build, is_context_here, finished: "dist", spa: true });
    }
    if hints.is_some() || package.as_ref().is_some_and(is_program) {
        return Some(Found::Service { folder, dockerfile: hints, is_context_here });
    }
    let is_plain = package.is_none() && path.join("index.html").is_file();
    is_plain.then_some(Found::Site { folder, build: None, is_context_here: false, finished: ".", spa: false })
}

/// Vite without anything that listens.
fn is_site(path: &Path, package: Option<&Value>) -> bool {
    let has_vite =
        ["ts", "js", "mts", "mjs", "cjs"].iter().any(|end| path.join(format!("vite.config.{end}")).is_file());
    has_vite && !package.is_some_and(|package| SERVERS.iter().any(|name| depends_on(package, name)))
}

fn is_program(package: &Value) -> bool {
    package.pointer("/scripts/start").is_some() || SERVERS.iter().any(|name| depends_on(package, name))
}

fn depends_on(package: &Value, name: &str) -> bool {
    ["dependencies", "devDependencies"]
        .iter()
        .any(|key| package.get(key).is_some_and(|all| all.get(name).is_some()))
}

/// Whether the Dockerfile copies by paths of the repository rather than of its own folder.
fn is_context_here(root: &Path, folder: &str, hints: &Hints) -> bool {
    if folder == "." {
        return true;
    }
    let is_below = |source: &String| source == folder || source.starts_with(&format!("{folder}/"));
    let plain = |source: &&String| !source.contains(['*', '$', '[', '"']) && source.as_str() != ".";
    let only_here = |source: &String| root.join(source).exists() && !root.join(folder).join(source).exists();
    hints.sources.iter().any(is_below) || hints.sources.iter().filter(plain).any(only_here)
}
