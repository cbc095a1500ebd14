//! Images over several deployments: which ones stay, which ones go, and that nothing else is touched.

use havre_build::builder::BuildRequest;
use havre_build::fake::artifact_of;
use havre_core::artifact::{Artifact, Digest};
use havre_core::deployment::Kind;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::service::spec::{ServiceSpec, TaskWork};
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::Script;
use havre_reconcile::image;

use crate::world::{Control, Outside, spec, work};

fn built_here() -> ServiceSpec {
    let source = serde_json::json!({
        "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {},
    });
    spec(TaskWork { source: serde_json::from_value(source).unwrap(), ..work("1") })
}

/// Asks for a build, and makes the image it will name.
async fn build(control: &Control, id: ServiceId) -> Digest {
    let build = control.build(id).await;
    let service = control.service(id).await;
    let (place, spec) = (service.place, service.spec);
    let request = BuildRequest {
        id: build,
        service: id,
        place,
        spec,
        context: "context".into(),
        credentials: Vec::new(),
        secrets: std::collections::BTreeMap::new(),
    };
    let Artifact::Image { id: image, .. } = artifact_of(&request) else { panic!("not an image") };
    control.outside.engine.add_built_image(&image, id, Script::runs());
    image
}

async fn deploy(control: &Control, id: ServiceId) -> Digest {
    let image = build(control, id).await;
    control.settle().await;
    image
}

/// Ids of what we built and Docker has, sorted.
async fn there(outside: &Outside) -> Vec<Digest> {
    let listed = outside.engine.list_built_images().await.unwrap();
    sorted(listed.into_iter().map(|image| image.id).collect())
}

fn sorted(mut images: Vec<Digest>) -> Vec<Digest> {
    images.sort();
    images
}

async fn removed(control: &Control, id: ServiceId) -> Vec<ReleaseId> {
    control.world.store.read(move |view| view.removed_releases(id)).await.unwrap().into_iter().collect()
}

async fn last_event(control: &Control) -> u64 {
    control.world.store.read(|view| view.last_event()).await.unwrap()
}

#[tokio::test]
async fn images_of_the_ten_newest_stay_and_the_rest_goes_once() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(built_here()).await;
    let mut images = Vec::new();
    for _ in 0..12 {
        images.push(deploy(&control, id).await);
    }
    // Whatever is not ours, or was pulled, is not even looked at.
    let pulled: Digest = "ab".repeat(32).parse().unwrap();
    outside.engine.add_image(&pulled, None, Script::runs());
    image::activate(&control.world).await.unwrap();
    assert_eq!(there(&outside).await, sorted(images[2..].to_vec()));
    assert!(outside.engine.find_image(&pulled).await.unwrap().is_some());
    assert_eq!(removed(&control, id).await, [ReleaseId::new(1), ReleaseId::new(2)]);
    let before = last_event(&control).await;
    image::activate(&control.world).await.unwrap();
    assert_eq!(last_event(&control).await, before, "once is enough");

    // The oldest that was kept can still be gone back to.
    control.request(id, ReleaseId::new(3), Kind::Rollback).await;
    control.settle().await;
    assert_eq!(control.service(id).await.live, Some(ReleaseId::new(3)));
    image::activate(&control.world).await.unwrap();
    assert_eq!(there(&outside).await, sorted(images[2..].to_vec()));
}

#[tokio::test]
async fn an_image_of_a_build_under_way_stays_and_a_strange_one_goes() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(built_here()).await;
    let live = deploy(&control, id).await;
    // Built, but control ended before the release was recorded: nobody will ever ask for it.
    let stranger: Digest = "cd".repeat(32).parse().unwrap();
    outside.engine.add_built_image(&stranger, id, Script::runs());
    let next = build(&control, id).await;
    image::activate(&control.world).await.unwrap();
    assert_eq!(there(&outside).await, sorted(vec![live.clone(), stranger, next.clone()]), "a build is open");
    control.settle().await;
    image::activate(&control.world).await.unwrap();
    assert_eq!(there(&outside).await, sorted(vec![live, next]));
}

#[tokio::test]
async fn what_docker_says_is_in_use_is_left_for_later() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(built_here()).await;
    let mut images = Vec::new();
    for _ in 0..12 {
        images.push(deploy(&control, id).await);
    }
    let in_use = EngineError::Conflict {
        what: "remove image".to_owned(),
        message: "container 123 is using its referenced image".to_owned(),
    };
    outside.engine.fail_next(Operation::RemoveImage, in_use);
    image::activate(&control.world).await.unwrap();
    assert_eq!(there(&outside).await.len(), 11, "the other one is gone");
    assert_eq!(removed(&control, id).await.len(), 2, "both were given up");
    let before = last_event(&control).await;
    image::activate(&control.world).await.unwrap();
    assert_eq!(there(&outside).await, sorted(images[2..].to_vec()));
    assert_eq!(last_event(&control).await, before, "told the first time");
}

#[tokio::test]
async fn an_engine_that_is_away_costs_nothing() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(built_here()).await;
    let image = deploy(&control, id).await;
    outside.engine.set_reachable(false);
    let before = last_event(&control).await;
    assert!(image::activate(&control.world).await.is_err());
    assert_eq!(last_event(&control).await, before);
    outside.engine.set_reachable(true);
    image::activate(&control.world).await.unwrap();
    assert_eq!(there(&outside).await, [image]);
}
