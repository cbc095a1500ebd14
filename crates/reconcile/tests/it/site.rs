//! Files of sites over several deployments: who still serves them, what is kept, and what is removed when.

use havre_build::builder::BuildRequest;
use havre_build::fake::artifact_of;
use havre_core::artifact::{Artifact, Digest};
use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::quantity::Span;
use havre_core::route::Target;
use havre_core::service::spec::{RouteSpec, SPEC_VERSION, ServiceSpec, SiteSource, SiteWork, Work};
use havre_core::site::settings::SiteSettings;
use havre_reconcile::site;

use crate::world::{Control, Outside};

pub(crate) fn spec(settings: SiteSettings) -> ServiceSpec {
    ServiceSpec {
        routes: vec![RouteSpec { host: "web.example".parse().unwrap(), path: "/".parse().unwrap() }],
        work: Work::Site(Box::new(SiteWork {
            source: SiteSource::Folder { root: "dist".parse().unwrap() },
            spa: true,
            settings,
        })),
        ..serde_json::from_value(serde_json::json!({
            "version": SPEC_VERSION, "name": "web", "routes": [], "expose_release": true,
            "work": { "kind": "site", "source": { "kind": "folder", "root": "dist" }, "spa": true },
        }))
        .unwrap()
    }
}

pub(crate) async fn deploy(control: &Control, id: ServiceId) -> Digest {
    publish(control, id).await;
    control.settle().await;
    let live = control.service(id).await.live.unwrap();
    digest_of(control, live).await
}

/// Asks for a deployment and makes the folder it will look for.
pub(crate) async fn publish(control: &Control, id: ServiceId) {
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
    let Artifact::Site { digest } = artifact_of(&request) else { panic!("not a site") };
    // A deployment looks whether the folder is there.
    std::fs::create_dir_all(control.outside.path("sites").join(digest.hex())).unwrap();
}

async fn digest_of(control: &Control, id: ReleaseId) -> Digest {
    match control.world.store.read(move |view| view.get_release(id)).await.unwrap().artifact {
        Artifact::Site { digest } => digest,
        other => panic!("not a site: {other}"),
    }
}

/// Digests the table names as earlier ones.
async fn earlier(control: &Control) -> Vec<Digest> {
    let (_, table) = control.world.store.read(|view| view.route_table()).await.unwrap();
    match &table.routes[0].target {
        Target::Site { earlier, .. } => earlier.iter().map(|earlier| earlier.digest.clone()).collect(),
        other => panic!("not a site: {other:?}"),
    }
}

fn sorted(mut digests: Vec<Digest>) -> Vec<Digest> {
    digests.sort();
    digests
}

#[tokio::test]
async fn earlier_files_are_served_for_their_time_and_kept_for_rollbacks() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(SiteSettings { releases_kept: 2, ..SiteSettings::default() })).await;
    let first = deploy(&control, id).await;
    assert_eq!(earlier(&control).await, []);
    let second = deploy(&control, id).await;
    let third = deploy(&control, id).await;
    // Newest first, the live one not among them.
    assert_eq!(earlier(&control).await, [second.clone(), first.clone()]);
    site::activate(&control.world).await.unwrap();
    assert_eq!(outside.builder.sites().len(), 3, "all are within their hour");

    outside.clock.advance(Span::seconds(3600).duration());
    site::activate(&control.world).await.unwrap();
    control.settle().await;
    assert_eq!(earlier(&control).await, []);
    assert_eq!(outside.builder.sites(), sorted(vec![second.clone(), third.clone()]));
    let removed = control.world.store.read(move |view| view.removed_releases(id)).await.unwrap();
    assert_eq!(removed.into_iter().collect::<Vec<_>>(), [ReleaseId::new(1)]);
    let before = control.world.store.read(|view| view.last_event()).await.unwrap();
    site::activate(&control.world).await.unwrap();
    assert_eq!(control.world.store.read(|view| view.last_event()).await.unwrap(), before, "once is enough");

    // Back to the second: its files are there, and the third is what open pages ask for now.
    let to = ReleaseId::new(2);
    control
        .world
        .store
        .write(control.world.now(), Actor::Local, move |tx| tx.create_deployment(id, to, Kind::Rollback))
        .await
        .unwrap();
    control.settle().await;
    assert_eq!(control.service(id).await.live, Some(to));
    assert_eq!(earlier(&control).await, [third]);
}

#[tokio::test]
async fn a_folder_of_a_build_under_way_stays_and_a_strange_one_goes() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(SiteSettings::default())).await;
    let live = deploy(&control, id).await;
    // Published, but control ended before the release was recorded: nobody will ever ask for it.
    let stranger: Digest = "ab".repeat(32).parse().unwrap();
    outside.builder.publish(&stranger);
    control.build(id).await;
    site::activate(&control.world).await.unwrap();
    assert_eq!(outside.builder.sites(), sorted(vec![live.clone(), stranger]), "a build is open");
    deploy(&control, id).await;
    site::activate(&control.world).await.unwrap();
    assert_eq!(outside.builder.sites().len(), 2, "the live one and the one before it");
    assert!(outside.builder.sites().contains(&live));
}

#[tokio::test]
async fn a_site_without_a_time_after_the_switch_names_nothing() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control
        .apply(spec(SiteSettings {
            keep_assets: Span::seconds(0),
            releases_kept: 1,
            ..SiteSettings::default()
        }))
        .await;
    deploy(&control, id).await;
    let second = deploy(&control, id).await;
    assert_eq!(earlier(&control).await, []);
    site::activate(&control.world).await.unwrap();
    assert_eq!(outside.builder.sites(), [second]);
}
