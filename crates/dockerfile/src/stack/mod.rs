//! What a repository is made of, and the Dockerfile for it. A file for each language (`node`, `python`, …), each a pure
//! function of a [`Snapshot`]. Opens no file: the caller reads what [`wanted`] names. Tests: `tests/it/stack.rs`, one
//! golden Dockerfile for each sample in `examples/stacks`.

// Languages, by name. Each has `find(&Snapshot, &RelativePath) -> Found` and a line in `LANGUAGES`.
mod go;
mod java;
mod node;
mod php;
mod python;
mod ruby;
mod rust;
mod site;

mod folder;
mod grammar;
mod procfile;
mod snapshot;
mod step;
mod text;
mod version;

use havre_core::name::{EnvKey, RelativePath};
use serde::Serialize;

pub use crate::stack::snapshot::{PATHS_MAX, Snapshot, TEXT_MAX, wanted};

/// Where the finished files of a site lie in the image of a written Dockerfile.
pub const SITE_OUTPUT: &str = "/site";

/// What no written Dockerfile copies from a context, whatever the repository's `.dockerignore` says: lines behind its own.
pub const NEVER_COPIED: &str = ".git\n**/node_modules\n";

/// Who is asked, in this order; the first that knows the folder answers. Tools that only make files come first, because
/// Node.js would know them as well; a plain `index.html` comes last, because programs have one too.
const LANGUAGES: &[fn(&Snapshot, &RelativePath) -> Found] = &[
    site::find,
    node::find,
    python::find,
    go::find,
    rust::find,
    ruby::find,
    php::find,
    java::find,
    site::find_plain,
];

/// What is looked for, for people.
const LOOKED_FOR: &str = "package.json, pyproject.toml, requirements.txt, Pipfile, go.mod, Cargo.toml, Gemfile, \
                          composer.json, pom.xml, build.gradle, index.html";

/// Files that say that a program is not, or not only, one of Node.js.
const OTHER_LANGUAGES: [&str; 12] = [
    "manage.py",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "go.mod",
    "Cargo.toml",
    "Gemfile",
    "composer.json",
    "artisan",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
];

/// A Dockerfile written for a program or site, and what it was written from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// What was recognised, for people: `Node.js 22, pnpm, NestJS`.
    pub stack: String,
    /// The text: readable, several stages, cache mounts, a user that is not root. Its paths are those of the repository
    /// root, which is the build context.
    pub dockerfile: String,
    /// What stays out of the context where the repository has no `.dockerignore`.
    pub ignore: String,
    /// Port the framework listens on when nobody says; tasks get `PORT` all the same.
    pub port: u16,
    /// Usual health path of the framework.
    pub health: Option<String>,
    /// Folder of finished files inside the image, for sites; `None` for programs.
    pub output: Option<String>,
    /// What was decided and why, a sentence each: shown above the build, and as comments of the Dockerfile.
    pub notes: Vec<String>,
}

/// Which Dockerfile a folder is built by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The one that lies in it, as it is.
    Own {
        /// Its path in the repository.
        path: String,
    },
    /// One that Havre writes.
    Written(Written),
}

/// Why no Dockerfile could be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StackError {
    /// Nothing in the folder is known.
    #[error(
        "could not tell what {folder} is made of: there is none of {looked_for}; write a Dockerfile and name it as \
         `dockerfile` in havre.toml"
    )]
    Unknown {
        /// The folder.
        folder: String,
        /// Files that were looked for.
        looked_for: String,
    },
    /// Something is known and not enough, or contradicts itself.
    #[error("could not write a Dockerfile for {folder}: {reason}; {hint}")]
    Unclear {
        /// The folder.
        folder: String,
        /// What is missing.
        reason: String,
        /// What to do.
        hint: String,
    },
}

/// What each language's file answers: `None` when the folder is not its own.
pub(crate) type Found = Option<Result<Written, StackError>>;

/// Decides between the Dockerfile that lies in `root` and one that Havre writes.
///
/// # Errors
/// See [`StackError`]; never where `root` has a Dockerfile of its own.
pub fn choose(snapshot: &Snapshot, root: &RelativePath) -> Result<Choice, StackError> {
    if snapshot.has(root, "Dockerfile") {
        return Ok(Choice::Own { path: snapshot.path(root, "Dockerfile") });
    }
    write(snapshot, root).map(Choice::Written)
}

/// Writes the Dockerfile of the program or site in `root`.
///
/// # Errors
/// See [`StackError`].
pub fn write(snapshot: &Snapshot, root: &RelativePath) -> Result<Written, StackError> {
    LANGUAGES.iter().find_map(|find| find(snapshot, root)).unwrap_or_else(|| {
        Err(StackError::Unknown { folder: shown_folder(root), looked_for: LOOKED_FOR.to_owned() })
    })
}

impl Written {
    /// Whether it makes the files of a site.
    pub fn is_site(&self) -> bool {
        self.output.is_some()
    }

    /// Checks that it makes what havre.toml asks for.
    ///
    /// # Errors
    /// It is a program where a site is wanted, or the other way round.
    pub fn check(&self, root: &RelativePath, wants_site: bool) -> Result<(), StackError> {
        match (wants_site, self.is_site()) {
            (true, false) => Err(unclear(
                root,
                format!("it holds a program ({}), which runs, and no site", self.stack),
                "describe it in havre.toml as [services.<name>] with `root` and `port`",
            )),
            (false, true) => Err(unclear(
                root,
                format!("it makes the files of a site ({}), and nothing that runs", self.stack),
                "describe it in havre.toml as [sites.<name>] with `root` and build = true",
            )),
            _ => Ok(()),
        }
    }

    /// Declares build arguments where the program is built, behind the installation of packages: they see them, and a new
    /// value does not install anything again.
    pub fn declare<'a>(&mut self, names: impl IntoIterator<Item = &'a EnvKey>) {
        let lines: String = names.into_iter().map(|name| format!("ARG {name}\n")).collect();
        let at = place_of_arguments(&self.dockerfile);
        self.dockerfile.insert_str(at, &lines);
    }
}

/// Before the first files that come into the stage `build`; where there is none, behind the first `FROM`.
fn place_of_arguments(dockerfile: &str) -> usize {
    let mut at = 0;
    let mut behind_from = None;
    let mut is_inside = false;
    for line in dockerfile.split_inclusive('\n') {
        let is_from = line.starts_with("FROM ");
        if is_inside && is_from {
            break;
        }
        if is_inside && line.starts_with("COPY ") && !line.contains("--from=") {
            return at;
        }
        at += line.len();
        let is_build = is_from && line.trim_end().ends_with(" AS build");
        if is_build || (is_from && behind_from.is_none()) {
            behind_from = Some(at);
        }
        is_inside |= is_build;
    }
    behind_from.unwrap_or(at)
}

/// The folder as messages name it.
pub(crate) fn shown_folder(root: &RelativePath) -> String {
    if root.as_str() == "." { "the repository".to_owned() } else { root.to_string() }
}

/// Something of the user's files as messages and notes may show it: one line, bounded.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// An error about a folder.
pub(crate) fn unclear(root: &RelativePath, reason: impl Into<String>, hint: impl Into<String>) -> StackError {
    StackError::Unclear { folder: shown_folder(root), reason: reason.into(), hint: hint.into() }
}

/// Whether another language has its files here.
pub(crate) fn has_other_language(snapshot: &Snapshot, root: &RelativePath) -> bool {
    OTHER_LANGUAGES.iter().any(|name| snapshot.has(root, name))
}
