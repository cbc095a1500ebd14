//! The image loop: removes images this installation has built that no release needs. What is needed is decided in
//! `havre_core::image::retention`. Never forces, never touches what was pulled: the engine lists and removes nothing else
//! than what we built. Tests: `tests/it/image.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use havre_core::artifact::Digest;
use havre_core::event::Actor;
use havre_core::id::ReleaseId;
use havre_core::image::retention::unneeded_images;
use havre_core::site::settings::RELEASES_KEPT;
use havre_engine::error::EngineError;
use havre_store::{StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::world::World;

/// A disk does not fill up within minutes, and listing images costs Docker something.
const EVERY: Duration = Duration::from_secs(600);

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store failed.
    #[error("could not read or record which images are needed")]
    Store(#[from] StoreError),
    /// The engine does not answer.
    #[error("could not list or remove images")]
    Engine(#[from] EngineError),
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    loop {
        tokio::select! {
            // What is cut here is done after the start: what was recorded is still listed.
            () = stop.cancelled() => return,
            ended = activate(&world) => {
                if let Err(error) = ended {
                    tracing::warn!(error = %chain(&error), "could not tidy up images; trying again in ten minutes");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = world.clock.sleep(EVERY) => {}
        }
    }
}

/// One round.
///
/// # Errors
/// See [`ImageError`]; what was done before stays done.
pub async fn activate(world: &World) -> Result<(), ImageError> {
    // Listed before rows are read: what a build makes after this is not in the list, what it made before has its row, or
    // its build is still open.
    let listed = world.engine.list_built_images().await?;
    let built: BTreeSet<Digest> = listed.into_iter().map(|image| image.id).collect();
    let there = built.clone();
    if world.store.read(move |view| choose(view, &there)).await?.is_empty() {
        return Ok(());
    }
    // Chosen again in the transaction that records it: a rollback that was asked for meanwhile counts.
    let chosen = world
        .store
        .write(world.now(), Actor::Havre, move |tx| {
            let chosen = choose(tx, &built)?;
            for (image, releases) in &chosen {
                tx.record_image_removed(image.clone(), releases)?;
            }
            Ok(chosen)
        })
        .await?;
    for image in chosen.keys() {
        match world.engine.remove_image(image).await {
            Ok(()) => {
                tracing::info!(image = %image.short(), "removed an image that no release needs");
            }
            Err(error @ EngineError::Unreachable { .. }) => return Err(error.into()),
            // Something still uses it, or a person gave it a name: it is looked at again in the next round.
            Err(error) => {
                tracing::info!(image = %image.short(), %error, "left an image that no release needs for later");
            }
        }
    }
    Ok(())
}

fn choose(view: &View<'_>, built: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, Vec<ReleaseId>>, StoreError> {
    let is_building = !view.list_open_builds()?.is_empty();
    let keep = usize::try_from(RELEASES_KEPT).unwrap_or(usize::MAX);
    Ok(unneeded_images(&view.image_rows()?, built, is_building, keep))
}
