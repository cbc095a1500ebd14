//! The door to repositories: from a target to what lies there. Makes a repository once, for a target that never had one; from then on only
//! the one with that id is used, and none is made in its place: a disk that is not there looks like an empty folder.

use std::sync::Arc;

use havre_backup::{Repository, RepositoryError};
use havre_core::backup::RepositoryId;
use havre_core::event::Actor;
use havre_core::name::TargetName;
use havre_reconcile::deployment::chain;

use crate::world::World;

/// A repository that answers to its password, and is the one it must be.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) repository: Arc<dyn Repository>,
    pub(crate) id: RepositoryId,
}

/// Opens the repository of a target, and records whether it can be used. Why it cannot, in words.
pub(crate) async fn open(world: &World, name: &TargetName) -> Result<Opened, String> {
    let target = name.clone();
    let reason = match try_open(world, name).await {
        Ok(opened) => {
            let id = opened.id.clone();
            let record = move |tx: &mut havre_store::Tx<'_>| tx.record_repository(&target, &id);
            match world.store.write(world.now(), Actor::Havre, record).await {
                Ok(()) => return Ok(opened),
                // Also where it is another one than it was.
                Err(error) => chain(&error),
            }
        }
        Err(reason) => reason,
    };
    world.backups.forget_repository(name);
    let (target, text) = (name.clone(), reason.clone());
    let record = move |tx: &mut havre_store::Tx<'_>| tx.record_target_failure(&target, &text);
    if let Err(error) = world.store.write(world.now(), Actor::Havre, record).await {
        tracing::warn!(backup_target = %name, error = %chain(&error), "could not record that a backup target cannot be used");
    }
    Err(reason)
}

async fn try_open(world: &World, name: &TargetName) -> Result<Opened, String> {
    let wanted = name.clone();
    let target = world.store.read(move |view| view.open_backup_target(&wanted)).await;
    let target = target.map_err(|error| chain(&error))?;
    let repository = match world.backups.repository(name) {
        Some(known) => known,
        None => {
            let repository = world.repositories.at(&target).map_err(|error| chain(&error))?;
            world.backups.keep_repository(name, &repository);
            repository
        }
    };
    let opened = match repository.open().await {
        Err(RepositoryError::Missing { .. }) if target.repository.is_none() => repository.init().await,
        opened => opened,
    };
    let id = opened.map_err(|error| chain(&error))?;
    Ok(Opened { repository, id })
}
