//! What builds leave when somebody closes them before they began, or when control was killed: contexts nobody builds any more, and
//! tasks, databases and networks of tests that are over. Tests: `tests/it/pipeline_test.rs`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use havre_core::build::State;
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::task::spec::Purpose;
use havre_store::{StoreError, View};

use super::database;
use crate::deployment::chain;
use crate::world::World;

/// Why a round was given up.
#[derive(Debug, thiserror::Error)]
enum TidyError {
    #[error("could not look through the folder of builds")]
    Folder(#[from] std::io::Error),
    #[error("could not list the builds")]
    Store(#[from] StoreError),
}

/// Removes it. Best effort: the next round does what this one cannot.
pub async fn tidy(world: &World) {
    if let Err(error) = remove_contexts(world).await {
        tracing::warn!(error = %chain(&error), "could not remove contexts that nobody builds");
    }
    remove_tasks(world).await;
    database::remove_of_ended(world).await;
}

async fn remove_contexts(world: &World) -> Result<(), TidyError> {
    let mut found: Vec<(BuildId, PathBuf)> = Vec::new();
    let mut entries = tokio::fs::read_dir(&world.settings.build_dir).await?;
    while let Some(entry) = entries.next_entry().await? {
        if let Some(id) = entry.file_name().to_str().and_then(build_of) {
            found.push((id, entry.path()));
        }
    }
    let open = world.store.read(list_open).await?;
    found.retain(|(id, _)| !open.contains(id));
    if found.is_empty() {
        return Ok(());
    }
    // A context is there a moment before its build can be seen. Transactions follow each other: one of our own sees the builds of
    // all files that were listed.
    let open = world.store.write(world.now(), Actor::Havre, |tx| list_open(tx)).await?;
    found.retain(|(id, _)| !open.contains(id));
    for (id, path) in found {
        tracing::info!(build = %id, "removed a context that nobody builds");
        tokio::fs::remove_file(&path).await?;
    }
    Ok(())
}

/// The build a context belongs to: `b12.tar`.
fn build_of(name: &str) -> Option<BuildId> {
    name.strip_suffix(".tar")?.parse().ok()
}

fn list_open(view: &View<'_>) -> Result<BTreeSet<BuildId>, StoreError> {
    Ok(view.list_open_builds()?.into_iter().map(|build| build.id).collect())
}

pub(super) fn list_running(view: &View<'_>) -> Result<BTreeSet<BuildId>, StoreError> {
    let open = view.list_open_builds()?.into_iter();
    let running = open.filter(|build| matches!(build.state, State::Running { .. }));
    Ok(running.map(|build| build.id).collect())
}

async fn remove_tasks(world: &World) {
    // Listed before rows are read: one that is begun after this has its row.
    let Ok(tasks) = world.engine_tasks().await else { return };
    let Ok(running) = world.store.read(list_running).await else { return };
    for task in tasks.iter() {
        let Purpose::Test { build } = task.purpose else { continue };
        if running.contains(&build) {
            continue;
        }
        if let Err(error) = world.engine.remove_task(&task.name).await {
            tracing::warn!(%build, error = %chain(&error), "could not remove the task of a test");
        }
        world.forget_engine();
    }
}
