//! Finds the services of a commit that are left as they are: asks the repository what has changed since the commit each of them runs.
//! What follows is decided by `havre_decide::pipeline::paths`. Tests: `tests/it/pipeline_paths.rs`.

use std::collections::BTreeMap;

use havre_core::name::ServiceName;
use havre_core::pipeline::{Cause, Pipeline};
use havre_core::release::Release;
use havre_core::service::spec::ServiceSpec;
use havre_core::source::CommitId;
use havre_decide::pipeline::paths::{compared_with, untouched};
use havre_manifest::Manifest;
use havre_store::{StoreError, View};

use super::checkout::CheckoutError;
use crate::world::World;

/// Those services, and why for each. Whoever asks for a run again wants everything.
pub(super) async fn find(
    world: &World,
    pipeline: &Pipeline,
    (manifest, specs): (&Manifest, &[ServiceSpec]),
) -> Result<BTreeMap<ServiceName, String>, CheckoutError> {
    let mut left = BTreeMap::new();
    let has_paths = specs.iter().any(|spec| manifest.paths(&spec.name).is_some());
    if !has_paths || matches!(pipeline.cause, Cause::Rerun { .. }) {
        return Ok(left);
    }
    let row = pipeline.clone();
    let live = world.store.read(move |view| live(view, &row)).await.map_err(CheckoutError::Store)?;
    let mut known: BTreeMap<CommitId, Option<Vec<String>>> = BTreeMap::new();
    for spec in specs {
        let Some(paths) = manifest.paths(&spec.name) else { continue };
        let Some(from) = compared_with(spec, live.get(&spec.name)) else { continue };
        let changed = match known.get(&from) {
            Some(changed) => changed.clone(),
            None => {
                let changed = world.source.changed_paths(&pipeline.project, &from, &pipeline.commit).await?;
                known.insert(from.clone(), changed.clone());
                changed
            }
        };
        if let Some(reason) = untouched(spec, paths, &from, changed.as_deref()) {
            left.insert(spec.name.clone(), reason);
        }
    }
    Ok(left)
}

/// The live release of each service of the environment that has one.
fn live(view: &View<'_>, pipeline: &Pipeline) -> Result<BTreeMap<ServiceName, Release>, StoreError> {
    let mut found = BTreeMap::new();
    let Some(environment) = view.find_environment(&pipeline.project, &pipeline.environment)? else {
        return Ok(found);
    };
    for service in view.list_environment_services(environment.id)? {
        if let (Some(live), None) = (service.live, service.destroyed_at) {
            found.insert(service.place.service, view.get_release(live)?);
        }
    }
    Ok(found)
}
