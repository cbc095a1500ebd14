//! What a repository is made of, and the Dockerfile for it. A file for each language (`node`, `python`, …), each a pure
//! function of a [`Snapshot`]. Opens no file: the caller reads what [`wanted`] names. Tests: `tests/it/stack.rs`, one
//! golden Dockerfile for each sample in `examples/stacks`.

mod snapshot;

use havre_core::name::RelativePath;

pub use crate::stack::snapshot::{Snapshot, wanted};

/// A Dockerfile written for a program or site, and what it was written from.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Writes the Dockerfile of the program or site in `root`.
///
/// # Errors
/// See [`StackError`].
pub fn write(snapshot: &Snapshot, root: &RelativePath) -> Result<Written, StackError> {
    let found: Found = None;
    let _ = snapshot;
    found.unwrap_or_else(|| Err(StackError::Unknown { folder: root.to_string(), looked_for: String::new() }))
}
