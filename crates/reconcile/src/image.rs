//! The image loop: removes images this installation has built that no release needs, and keeps the cache of builds within its
//! budget. What is needed is decided in `havre_decide::image::retention`. Never forces, never touches what was pulled: the engine lists and removes nothing else
//! than what we built. Tests: `tests/it/image.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use havre_build::builder::BuildError;
use havre_core::artifact::Digest;
use havre_core::event::Actor;
use havre_core::id::ReleaseId;
use havre_core::quantity::ByteSize;
use havre_core::site::settings::RELEASES_KEPT;
use havre_core::time::Timestamp;
use havre_decide::image::retention::unneeded_images;
use havre_engine::error::EngineError;
use havre_store::{StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::world::World;

/// A disk does not fill up within minutes, and listing images costs Docker something.
const EVERY: Duration = Duration::from_secs(600);

/// The cache of builds is trimmed this often, at most: what is built every day is wanted again tomorrow.
const TRIM_EVERY: Duration = Duration::from_secs(3600);

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store failed.
    #[error("could not read or record which images are needed")]
    Store(#[from] StoreError),
    /// The engine does not answer.
    #[error("could not list or remove images")]
    Engine(#[from] EngineError),
    /// The builder could not do it.
    #[error("could not trim the cache of builds")]
    Cache(#[from] BuildError),
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut trimmed = Trimmed::default();
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
            ended = trim_cache(&world, &mut trimmed) => {
                if let Err(error) = ended {
                    tracing::warn!(error = %chain(&error), "could not trim the cache of builds; trying again in ten minutes");
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

/// When the cache of builds was last trimmed.
#[derive(Debug, Default)]
pub struct Trimmed {
    at: Option<Timestamp>,
    /// Builds that had ended by then.
    ended: u64,
}

/// Trims the cache of builds when it is time, something was built since, and no build of ours is at work.
///
/// # Errors
/// See [`ImageError`].
pub async fn trim_cache(world: &World, trimmed: &mut Trimmed) -> Result<(), ImageError> {
    let (now, ended) = (world.now(), world.build_queue.ended());
    let is_early = trimmed.at.is_some_and(|at| now >= at && now.since(at) < TRIM_EVERY);
    if is_early || ended == trimmed.ended {
        return Ok(());
    }
    if !world.store.read(|view| view.list_open_builds()).await?.is_empty() {
        return Ok(());
    }
    let freed = world.builder.trim_cache().await?;
    *trimmed = Trimmed { at: Some(now), ended };
    if freed > ByteSize::bytes(0) {
        tracing::info!(freed_bytes = freed.as_bytes(), "trimmed the cache of builds to its budget");
    }
    Ok(())
}

fn choose(view: &View<'_>, built: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, Vec<ReleaseId>>, StoreError> {
    let is_building = !view.list_open_builds()?.is_empty();
    let keep = usize::try_from(RELEASES_KEPT).unwrap_or(usize::MAX);
    Ok(unneeded_images(&view.image_rows()?, built, is_building, keep))
}
