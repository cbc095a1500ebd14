//! Finds the services and sites of a repository: Dockerfiles, what Havre can write one for, `package.json`, Vite,
//! monorepos. Reads a bounded number of small files and changes nothing. Tests: in `init`.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use havre_core::name::RelativePath;
use havre_dockerfile::stack::{self, Snapshot, StackError, Written};
use serde_json::Value;

use crate::build::stack::{read_texts, snapshot};
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

/// Tools whose pages find their own way by the address.
const SINGLE_PAGE: [&str; 4] = ["Vite", "Create React App", "Vue CLI", "Angular"];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A program.
    Service {
        /// Folder relative to the repository, `.` for itself.
        folder: String,
        /// What it is built by.
        origin: Origin,
        /// The Dockerfile copies by paths of the repository.
        is_context_here: bool,
    },
    /// A folder of files.
    Site {
        /// Folder relative to the repository, `.` for itself.
        folder: String,
        /// Dockerfile that makes the files, and where they end up in its image.
        build: Option<String>,
        /// Havre writes that Dockerfile.
        is_written: bool,
        /// The Dockerfile copies by paths of the repository.
        is_context_here: bool,
        /// Folder of finished files inside `folder`; `.` for itself.
        finished: &'static str,
        /// A single-page application.
        spa: bool,
    },
}

/// What a program is built by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A Dockerfile of its own, which says this.
    Own(Hints),
    /// One that Havre writes.
    Written {
        /// What Havre recognised.
        stack: String,
        /// What it says.
        hints: Hints,
    },
    /// None yet.
    Missing {
        /// Why Havre cannot write one; empty where it has nothing to go by.
        reason: String,
    },
}

/// A repository, and what Havre would write for its folders.
struct Repository<'r> {
    root: &'r Path,
    /// `None` when it cannot be read as a whole; then only Dockerfiles and a few names count.
    snapshot: Option<Snapshot>,
}

impl Repository<'_> {
    fn write(&mut self, folder: &str) -> Option<Result<Written, StackError>> {
        let snapshot = self.snapshot.as_mut()?;
        let folder: RelativePath = folder.parse().ok()?;
        snapshot.texts = read_texts(self.root, &snapshot.paths, &folder).ok()?;
        Some(stack::write(snapshot, &folder))
    }
}

/// Looks at a repository.
pub(crate) fn detect(root: &Path) -> Vec<Found> {
    let mut repository = Repository { root, snapshot: snapshot(root, &RelativePath::here()).ok() };
    let mut found = Vec::new();
    for folder in folders(root) {
        found.extend(look(&mut repository, &folder));
    }
    // A repository of several programs often has a package.json that only ties them together.
    if found.is_empty() || root.join("Dockerfile").is_file() {
        found.extend(look(&mut repository, "."));
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

fn look(repository: &mut Repository<'_>, folder: &str) -> Option<Found> {
    let path = repository.root.join(folder);
    let hints = read(&path.join("Dockerfile")).map(|text| dockerfile::read(&text));
    let package: Option<Value> =
        read(&path.join("package.json")).and_then(|text| serde_json::from_str(&text).ok());
    let package = package.as_ref();
    match hints {
        Some(hints) => Some(look_at_own(repository.root, folder, hints, package)),
        None => {
            let written = repository.write(folder);
            look_without(&path, folder, written, package)
        }
    }
}

/// A folder with a Dockerfile of its own.
fn look_at_own(root: &Path, folder: &str, hints: Hints, package: Option<&Value>) -> Found {
    let is_context_here = is_context_here(root, folder, &hints);
    let folder_name = folder.to_owned();
    if is_site(&root.join(folder), package) {
        return Found::Site {
            folder: folder_name,
            build: Some(hints.output.unwrap_or_else(|| "/site".to_owned())),
            is_written: false,
            is_context_here,
            finished: "dist",
            spa: true,
        };
    }
    Found::Service { folder: folder_name, origin: Origin::Own(hints), is_context_here }
}

/// A folder without: what Havre would write, else what looks like a program or a site all the same.
fn look_without(
    path: &Path,
    folder: &str,
    written: Option<Result<Written, StackError>>,
    package: Option<&Value>,
) -> Option<Found> {
    let folder = folder.to_owned();
    let site = |finished: &'static str, is_written: bool, spa: bool| Found::Site {
        folder: folder.clone(),
        build: None,
        is_written,
        is_context_here: true,
        finished,
        spa,
    };
    let is_program = package.is_some_and(is_program);
    let reason = match written {
        Some(Ok(written)) if written.is_site() => {
            let spa = SINGLE_PAGE.iter().any(|tool| written.stack.ends_with(tool));
            return Some(site(".", true, spa));
        }
        // A package of Node.js that nothing starts is a library.
        Some(Ok(written)) if is_program || !written.stack.starts_with("Node.js") => {
            let hints = Hints { port: Some(written.port), health: written.health, ..Hints::default() };
            let origin = Origin::Written { stack: written.stack, hints };
            return Some(Found::Service { folder, origin, is_context_here: true });
        }
        Some(Err(StackError::Unclear { reason, hint, .. })) => format!("{reason}; {hint}"),
        _ => String::new(),
    };
    if is_site(path, package) {
        return Some(site("dist", false, true));
    }
    if is_program {
        return Some(Found::Service { folder, origin: Origin::Missing { reason }, is_context_here: true });
    }
    let is_plain = package.is_none() && path.join("index.html").is_file();
    is_plain.then(|| site(".", false, false))
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
