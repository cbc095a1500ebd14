//! Which services a commit means for the environment of a pipeline: as its `havre.toml` says, and for the preview of a pull request within
//! what the base branch allows. Tests: `tests/it/preview.rs`.

use havre_core::database::spec::DatabaseSpec;
use havre_core::pipeline::Pipeline;
use havre_core::preview::Preview;
use havre_core::service::spec::ServiceSpec;
use havre_manifest::Manifest;
use havre_manifest::problem::ManifestError;

use super::checkout::CheckoutError;
use super::read;
use crate::world::World;

/// What a commit means for an environment.
pub(super) struct Wanted {
    /// Every service and site, by name.
    pub(super) services: Vec<ServiceSpec>,
    /// Every database, by name.
    pub(super) databases: Vec<DatabaseSpec>,
}

/// Reads it from the commit, and for a preview from its base as well.
pub(super) async fn of(
    world: &World,
    pipeline: &Pipeline,
    manifest: &Manifest,
) -> Result<Wanted, CheckoutError> {
    let wrong = |error: ManifestError| CheckoutError::Commit(error.to_string());
    let Some(number) = pipeline.environment.pull() else {
        let services = manifest.resolve(&pipeline.environment).map_err(wrong)?;
        return Ok(Wanted { services, databases: manifest.databases(&pipeline.environment) });
    };
    let project = pipeline.project.clone();
    let found = world.store.read(move |view| view.find_preview(&project, number)).await;
    let Some(preview) = found.map_err(CheckoutError::Preview)?.filter(Preview::is_open) else {
        return Err(CheckoutError::Commit(format!("the preview of pull request {number} is closed")));
    };
    let base = read::head(world, &pipeline.project, &preview.base_commit).await?;
    let base = base.manifest.map_err(CheckoutError::Commit)?;
    let Some(previews) = base.previews() else {
        let message = format!("havre.toml of the branch {} has no [previews] any more", preview.base);
        return Err(CheckoutError::Commit(message));
    };
    let services = manifest.resolve_preview(previews, number, &preview.branch).map_err(wrong)?;
    Ok(Wanted { services, databases: manifest.preview_databases(previews) })
}
