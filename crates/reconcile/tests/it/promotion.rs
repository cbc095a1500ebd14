//! Promotion and what is kept: an artifact stays for as long as any service of any environment needs it, whoever built it.

use havre_build::builder::BuildRequest;
use havre_build::fake::artifact_of;
use havre_core::artifact::{Artifact, Digest};
use havre_core::deployment::Kind;
use havre_core::deployment::state::State;
use havre_core::event::{Actor, EventKind};
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::quantity::ByteSize;
use havre_core::release::Release;
use havre_core::release::promotion::PromotedFrom;
use havre_core::service::spec::{ServiceSpec, TaskWork};
use havre_core::site::settings::SiteSettings;
use havre_engine::Engine;
use havre_engine::fake::script::Script;
use havre_reconcile::{image, site};
use havre_store::NewRelease;

use crate::site as sites;
use crate::world::{Control, Outside, spec, work};

/// Built from a Dockerfile.
fn built_here() -> ServiceSpec {
    let source = serde_json::json!({
        "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {},
    });
    spec(TaskWork { source: serde_json::from_value(source).unwrap(), ..work("1") })
}

/// The same, which no user reaches: the edge of these tests answers for one service.
fn of_staging() -> ServiceSpec {
    let source = serde_json::json!({
        "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {},
    });
    let work = TaskWork { source: serde_json::from_value(source).unwrap(), port: None, ..work("1") };
    ServiceSpec { routes: Vec::new(), ..spec(work) }
}

/// Applies to staging.
async fn apply_staging(control: &Control, spec: ServiceSpec) -> ServiceId {
    let now = control.world.now();
    let applied = control.world.store.write(now, Actor::Local, move |tx| {
        let staging = tx.ensure_environment("dropit".parse().unwrap(), "staging".parse().unwrap())?;
        Ok(tx.apply_service(staging.id, spec)?.0.id)
    });
    applied.await.unwrap()
}

/// Builds and deploys an image of its own.
async fn deploy(control: &Control, id: ServiceId) -> Digest {
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
    control.settle().await;
    image
}

async fn live(control: &Control, id: ServiceId) -> Release {
    let live = control.service(id).await.live.unwrap();
    control.world.store.read(move |view| view.get_release(live)).await.unwrap()
}

/// What `web` records for a promotion, and the loops make of it.
async fn promote(control: &Control, from: ServiceId, to: ServiceId) -> Release {
    let source = live(control, from).await;
    let target = control.service(to).await;
    let now = control.world.now();
    let promoted = control.world.store.write(now, Actor::Local, move |tx| {
        let from = PromotedFrom { environment: "staging".parse().unwrap(), release: source.id };
        let new = NewRelease {
            service: to,
            artifact: source.artifact,
            spec: target.spec,
            revision: target.revision,
            build: None,
            commit: source.commit,
        };
        let release = tx.create_promotion(new, from)?;
        tx.create_deployment(to, release.id, Kind::Deploy)?;
        Ok(release)
    });
    let promoted = promoted.await.unwrap();
    control.settle().await;
    assert!(matches!(control.last_deployment(to).await.state, State::Succeeded { .. }));
    promoted
}

async fn destroy(control: &Control, id: ServiceId) {
    let now = control.world.now();
    control.world.store.write(now, Actor::Local, move |tx| tx.request_destroy(id, now)).await.unwrap();
    control.settle().await;
    assert!(control.world.store.read(move |view| view.has_service(id)).await.is_ok_and(|there| !there));
}

#[tokio::test]
async fn an_image_that_was_promoted_outlives_the_service_that_built_it() {
    let outside = Outside::new();
    let control = outside.control();
    let staging = apply_staging(&control, of_staging()).await;
    let production = control.apply(built_here()).await;
    let first = deploy(&control, staging).await;
    let before = promote(&control, staging, production).await;
    let second = deploy(&control, staging).await;
    let promoted = promote(&control, staging, production).await;
    assert_eq!(
        promoted.artifact,
        Artifact::Image { id: second.clone(), pull: None },
        "the same image, no build"
    );
    assert_eq!(live(&control, production).await.spec, built_here(), "its own configuration");
    assert_eq!(live(&control, production).await.commit, "abc123", "the commit travels along");
    let requests = outside.builder.requests();
    assert!(requests.iter().all(|request| request.service == staging), "production builds nothing");
    let tasks = outside.engine.list_tasks().await.unwrap();
    let mut of_production = tasks.iter().filter(|task| task.service == production);
    assert!(of_production.all(|task| task.image == second));

    // Staging goes on until it would have forgotten both, and at last goes altogether.
    for _ in 0..12 {
        deploy(&control, staging).await;
    }
    image::activate(&control.world).await.unwrap();
    let is_there = async |image: &Digest| outside.engine.find_image(image).await.unwrap().is_some();
    assert!(is_there(&first).await && is_there(&second).await);
    let removed = control.world.store.read(move |view| view.removed_releases(staging)).await.unwrap();
    assert!(!removed.contains(&ReleaseId::new(1)), "what is kept is not called removed");
    destroy(&control, staging).await;
    image::activate(&control.world).await.unwrap();
    assert!(is_there(&first).await && is_there(&second).await);
    assert_eq!(outside.engine.list_built_images().await.unwrap().len(), 2, "the rest is gone");

    control.request(production, before.id, Kind::Rollback).await;
    control.settle().await;
    assert_eq!(live(&control, production).await.artifact, Artifact::Image { id: first, pull: None });
}

#[tokio::test]
async fn files_that_were_promoted_outlive_the_site_that_built_them() {
    let outside = Outside::new();
    let control = outside.control();
    let hidden = ServiceSpec { routes: Vec::new(), ..sites::spec(SiteSettings::default()) };
    let staging = apply_staging(&control, hidden).await;
    let production = control.apply(sites::spec(SiteSettings::default())).await;
    let files = sites::deploy(&control, staging).await;
    let promoted = promote(&control, staging, production).await;
    assert_eq!(promoted.artifact, Artifact::Site { digest: files.clone() });
    destroy(&control, staging).await;
    site::activate(&control.world).await.unwrap();
    assert_eq!(outside.builder.sites(), [files]);
    assert!(control.service(production).await.live.is_some());
}

#[tokio::test]
async fn what_a_release_takes_is_recorded_once_its_artifact_is_there() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let api = control.apply(spec(work("1"))).await;
    control.build(api).await;
    control.settle().await;
    assert_eq!(live(&control, api).await.size, Some(ByteSize::mebibytes(1)));
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    let told = events.iter().filter(|event| matches!(event.kind, EventKind::Release(_)));
    assert_eq!(told.map(|event| event.kind.to_string()).collect::<Vec<_>>(), ["r1 takes 1.0 MB"]);
}

#[tokio::test]
async fn a_site_takes_what_its_files_have() {
    let outside = Outside::new();
    let control = outside.control();
    let web = control.apply(sites::spec(SiteSettings::default())).await;
    sites::publish(&control, web).await;
    let folder = std::fs::read_dir(outside.path("sites")).unwrap().next().unwrap().unwrap().path();
    std::fs::create_dir(folder.join("assets")).unwrap();
    std::fs::write(folder.join("index.html"), "hello").unwrap();
    std::fs::write(folder.join("assets/app.js"), "let it = 1;").unwrap();
    std::os::unix::fs::symlink("/etc", folder.join("elsewhere")).unwrap();
    control.settle().await;
    let size = live(&control, web).await.size.unwrap().as_bytes();
    assert_eq!(size, 5 + 11 + 4, "a link counts by itself");
}

#[tokio::test]
async fn base_images_are_remembered_with_their_digests() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(built_here()).await;
    let pinned = format!("docker.io/library/node:22@sha256:{}", "a".repeat(64));
    let line = |step: String| (step, "done in 1.0 s".to_owned());
    let steps =
        [format!("[build 1/2] FROM {pinned}"), "[2/2] RUN make".to_owned(), format!("[1/2] FROM {pinned}")];
    let lines = steps.map(line).to_vec();
    outside.builder.script("api", havre_build::fake::Script { lines, result: Ok(None) });
    let build = control.build(id).await;
    control.activate().await;
    let bases = control.world.store.read(move |view| view.list_build_bases(build)).await.unwrap();
    assert_eq!(bases.iter().map(ToString::to_string).collect::<Vec<_>>(), [pinned]);
}
