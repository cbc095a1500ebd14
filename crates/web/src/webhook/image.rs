//! What follows from an image that was pushed to a registry: every service of the project whose configuration names it gets a
//! build, which asks the registry what the tag means now and leads to a deployment, as `havre deploy` does. What a registry says
//! beside the name is not used. Which images are the same is `havre_webhook::judge`'s. Tests: `tests/it/webhook_image.rs`.

use std::collections::BTreeSet;

use havre_core::artifact::ImageRef;
use havre_core::id::BuildId;
use havre_core::name::ProjectName;
use havre_core::service::Service;
use havre_core::service::spec::{ImageSource, ServiceSpec};
use havre_store::{StoreError, Tx, View};

/// Queues a build of each of these services that runs one of the images.
pub(super) fn deploy(
    tx: &mut Tx<'_>,
    services: Vec<(Service, ImageRef)>,
    pushed: &BTreeSet<ImageRef>,
) -> Result<Vec<BuildId>, StoreError> {
    let mut builds = Vec::new();
    for (service, image) in services {
        if pushed.contains(&image) {
            let build = tx.create_build(service.id, service.spec, service.revision, String::new())?;
            builds.push(build.id);
        }
    }
    Ok(builds)
}

/// The services of every environment of the project that run an image by its name.
pub(super) fn services(
    view: &View<'_>,
    project: &ProjectName,
) -> Result<Vec<(Service, ImageRef)>, StoreError> {
    let mut found = Vec::new();
    for service in view.list_services()? {
        if service.place.project != *project || service.destroyed_at.is_some() {
            continue;
        }
        if let Some(image) = image_of(&service.spec) {
            found.push((service, image));
        }
    }
    Ok(found)
}

fn image_of(spec: &ServiceSpec) -> Option<ImageRef> {
    match &spec.tasks()?.source {
        ImageSource::Image { reference } => Some(reference.clone()),
        ImageSource::Dockerfile(_) => None,
    }
}
