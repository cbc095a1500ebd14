//! The route loop: derives the table from rows and stores it when it differs. Edges fetch it from `web`.

use std::collections::BTreeMap;

use havre_core::event::Actor;
use havre_core::route::Table;
use havre_decide::route::derive::{ServiceRows, derive};
use havre_store::{StoreError, View};

use crate::world::World;

/// Makes the stored table agree with the rows; returns its generation.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn activate(world: &World) -> Result<u64, StoreError> {
    let now = world.now();
    // Read first: a write transaction costs an fsync even for the many wake-ups that change nothing here.
    let (generation, differs) = world
        .store
        .read(move |view| {
            let (generation, stored) = view.route_table()?;
            Ok((generation, derive(&rows(view)?, &view.list_certificates()?, now) != stored))
        })
        .await?;
    let in_use = world.store.edges().iter().map(|edge| edge.generation).max().unwrap_or(0);
    if !differs && in_use <= generation {
        return Ok(generation);
    }
    world
        .store
        .write(now, Actor::Havre, move |tx| {
            let table: Table = derive(&rows(tx)?, &tx.list_certificates()?, now);
            tx.store_route_table(&table, in_use)
        })
        .await
}

fn rows(view: &View<'_>) -> Result<Vec<ServiceRows>, StoreError> {
    let mut rows = Vec::new();
    for service in view.list_services()? {
        let open = view.open_deployments(service.id)?;
        let tasks = view.list_tasks(service.id)?;
        let mut releases = BTreeMap::new();
        let left = view.left_releases(service.id)?;
        let named = tasks.iter().map(|task| task.release).chain(service.live);
        for id in named.chain(left.iter().map(|(release, _)| *release)) {
            if let std::collections::btree_map::Entry::Vacant(entry) = releases.entry(id) {
                entry.insert(view.get_release(id)?);
            }
        }
        rows.push(ServiceRows { service, open, releases, tasks, left });
    }
    Ok(rows)
}
