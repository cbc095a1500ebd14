//! What follows from an image that was pushed to a registry: every service of the project whose configuration names it gets a
//! build, which asks the registry what the tag means now and leads to a deployment, as `havre deploy` does. What a registry says
//! beside the name is not used. Tests: `tests/it/webhook_image.rs`.

use std::collections::BTreeSet;

use havre_core::artifact::ImageRef;
use havre_core::id::BuildId;
use havre_core::name::ProjectName;
use havre_core::service::Service;
use havre_core::service::spec::{ImageSource, ServiceSpec};
use havre_store::{StoreError, Tx, View};
use havre_webhook::judge::{Rules, Verdict, judge};
use havre_webhook::payload::{Event, ImagePushed};

/// What became of the images of one delivery.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// One for each service that runs one of them.
    pub(super) builds: Vec<BuildId>,
    /// Why nothing follows from the others.
    pub(super) reasons: Vec<String>,
}

/// Queues the builds that follow, each service once however many of the images are its own.
pub(super) fn deploy(
    tx: &mut Tx<'_>,
    project: &ProjectName,
    pushed: Vec<ImagePushed>,
) -> Result<Followed, StoreError> {
    let mut followed = Followed::default();
    if pushed.is_empty() {
        return Ok(followed);
    }
    let services = services(tx, project)?;
    let images = services.iter().map(|(_, image)| image.clone()).collect();
    let rules = Rules { images, ..Rules::default() };
    let mut wanted: BTreeSet<ImageRef> = BTreeSet::new();
    for image in pushed {
        match judge(&Event::ImagePushed(image), &rules) {
            Verdict::Deploy { images, .. } => wanted.extend(images),
            Verdict::Ignored { reason } => followed.reasons.push(reason.to_string()),
            // Verdicts about branches and pull requests.
            Verdict::Run { .. } | Verdict::Preview { .. } | Verdict::EndPreview { .. } => {}
        }
    }
    for (service, image) in services {
        if wanted.contains(&image) {
            let build = tx.create_build(service.id, service.spec, service.revision, String::new())?;
            followed.builds.push(build.id);
        }
    }
    Ok(followed)
}

/// The services of every environment of the project that run an image by its name.
fn services(view: &View<'_>, project: &ProjectName) -> Result<Vec<(Service, ImageRef)>, StoreError> {
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
