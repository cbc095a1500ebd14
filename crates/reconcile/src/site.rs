//! The site loop: removes files of sites that no release needs, and forgets releases whose time after a switch is over.
//! What is needed is decided in `havre_decide::site::retention`. Tests: `tests/it/site.rs`.

use std::collections::BTreeSet;

use havre_build::builder::BuildError;
use havre_core::artifact::Digest;
use havre_core::event::Actor;
use havre_core::time::Timestamp;
use havre_decide::site::retention::{Plan, plan};
use havre_store::{StoreError, View};

use crate::world::World;

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The store failed.
    #[error("could not read or record which sites are needed")]
    Store(#[from] StoreError),
    /// The folder of sites failed.
    #[error("could not list or remove published sites")]
    Folder(#[from] BuildError),
}

/// One round.
///
/// # Errors
/// See [`SiteError`]; what was done before stays done.
pub async fn activate(world: &World) -> Result<(), SiteError> {
    // Listed before rows are read: what a build publishes after this is not in the list, what it published before has
    // its row, or its build is still open.
    let listed = world.builder.list_sites().await?;
    let on_disk: BTreeSet<Digest> = listed.iter().map(|site| site.digest.clone()).collect();
    let now = world.now();
    let there = on_disk.clone();
    let first = world.store.read(move |view| choose(view, &there, now)).await?;
    if first.remove.is_empty() && first.forget.is_empty() {
        return Ok(());
    }
    // Chosen again in the transaction that records it: a rollback that was asked for meanwhile counts.
    let chosen = world
        .store
        .write(now, Actor::Havre, move |tx| {
            let chosen = choose(tx, &on_disk, now)?;
            for release in &chosen.forget {
                tx.forget_left(*release)?;
            }
            for (digest, releases) in &chosen.remove {
                tx.record_files_removed(digest.clone(), releases)?;
            }
            Ok(chosen)
        })
        .await?;
    for site in listed.into_iter().filter(|site| chosen.remove.contains_key(&site.digest)) {
        if world.builder.remove_site(&site).await? {
            tracing::info!(site = %site.digest.short(), "removed files of a site that no release needs");
        }
    }
    Ok(())
}

fn choose(view: &View<'_>, on_disk: &BTreeSet<Digest>, now: Timestamp) -> Result<Plan, StoreError> {
    let is_building = !view.list_open_builds()?.is_empty();
    Ok(plan(&view.site_rows()?, on_disk, is_building, now))
}
