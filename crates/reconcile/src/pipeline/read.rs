//! Reads `havre.toml` of a commit. Tests: `tests/it/pipeline.rs`.

use havre_core::name::{ProjectName, RelativePath};
use havre_core::source::CommitId;
use havre_manifest::{self as manifest, Manifest};
use havre_source::tree::EntryKind;
use havre_source::{SourceError, Tree};

use crate::world::World;

/// Name of the file.
const NAME: &str = "havre.toml";

/// A commit with its `havre.toml`, or why that is of no use, for people.
pub(crate) struct Head {
    pub(crate) tree: Tree,
    pub(crate) manifest: Result<Manifest, String>,
}

/// Reads it.
///
/// # Errors
/// Only when the repository cannot be read; a wrong file is an answer.
pub(crate) async fn head(
    world: &World,
    project: &ProjectName,
    commit: &CommitId,
) -> Result<Head, SourceError> {
    let tree = world.source.list_tree(project, commit, &RelativePath::here()).await?;
    let manifest = match text(world, project, &tree, NAME, manifest::TEXT_MAX as u64).await? {
        None => Err(format!("the commit {} holds no {NAME} at its root", commit.short())),
        Some(text) => check(project, manifest::parse(&text).map_err(|error| error.to_string())),
    };
    Ok(Head { tree, manifest })
}

fn check(project: &ProjectName, manifest: Result<Manifest, String>) -> Result<Manifest, String> {
    let manifest = manifest?;
    if manifest.project() == project {
        return Ok(manifest);
    }
    Err(format!(
        "havre.toml says project = \"{}\", and this is the repository of {project}: push to {}.git, or change the name",
        manifest.project(),
        manifest.project()
    ))
}

/// The text of one file of a tree, if it is there.
pub(super) async fn text(
    world: &World,
    project: &ProjectName,
    tree: &Tree,
    path: &str,
    limit: u64,
) -> Result<Option<String>, SourceError> {
    let found = tree.find(path).filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
    let Some(file) = found else { return Ok(None) };
    let mut bytes = world.source.read(project, std::slice::from_ref(&file.object), limit).await?;
    Ok(bytes.pop().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
