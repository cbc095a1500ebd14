//! Calls to CDNs: a row of the newest switch, written with it, and how each call that was made is remembered and told.

use havre_core::artifact::Artifact;
use havre_core::deployment::Kind;
use havre_core::id::{DeploymentId, ReleaseId, ServiceId};
use havre_core::service::spec::{ServiceSpec, Work};
use havre_store::{NewRelease, PurgeRow, StoreError};

use crate::world::{World, apply, at, site};

fn with_purge(name: &str) -> ServiceSpec {
    let mut spec = site(name);
    let Work::Site(site) = &mut spec.work else { panic!("not a site") };
    site.settings = serde_json::from_value(serde_json::json!({
        "cdn": { "tags": "surrogate-key", "purge": {
            "url": "https://cdn.example/{tag}", "header": "X-Key", "secret": "cdn",
        } },
    }))
    .unwrap();
    spec
}

/// A new release with this specification, live at `seconds`.
async fn deploy(
    world: &World,
    service: ServiceId,
    spec: ServiceSpec,
    seconds: i64,
) -> (DeploymentId, ReleaseId) {
    world
        .write(seconds, move |tx| {
            let digest = format!("{seconds:064x}").parse().unwrap();
            let new = NewRelease {
                service,
                artifact: Artifact::Site { digest },
                spec,
                revision: 1,
                build: None,
                commit: String::new(),
            };
            let release = tx.create_release(new)?.id;
            let deployment = tx.create_deployment(service, release, Kind::Deploy)?.id;
            tx.go_live(deployment, at(seconds))?;
            Ok((deployment, release))
        })
        .await
}

async fn rows(world: &World) -> Vec<PurgeRow> {
    world.store.read(|view| view.list_purges()).await.unwrap()
}

fn row(service: ServiceId, release: ReleaseId, tries: u32, seconds: i64) -> PurgeRow {
    PurgeRow { service, release, tries, next_at: at(seconds) }
}

async fn told(world: &World) -> Vec<String> {
    world.story().await.into_iter().filter(|text| text.starts_with("CDN")).collect()
}

#[tokio::test]
async fn a_switch_asks_for_one_call_and_the_newest_counts() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, with_purge("web"))?.0.id)).await;
    let (_, first) = deploy(&world, service, with_purge("web"), 10).await;
    assert_eq!(rows(&world).await, [row(service, first, 0, 10)]);
    let (second_deployment, second) = deploy(&world, service, with_purge("web"), 20).await;
    assert_eq!(rows(&world).await, [row(service, second, 0, 20)]);
    // The way back is a switch too.
    world.write(30, move |tx| tx.revert_live(second_deployment)).await;
    assert_eq!(rows(&world).await, [row(service, first, 0, 30)]);
    // It has to outlive control.
    let world = world.reopen();
    assert_eq!(rows(&world).await, [row(service, first, 0, 30)]);
    // A release that wants no call takes the one of the release before it away.
    deploy(&world, service, site("web"), 40).await;
    assert_eq!(rows(&world).await, []);
    assert!(told(&world).await.is_empty(), "nothing was called");
}

#[tokio::test]
async fn a_switch_that_is_not_kept_asks_for_nothing() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, with_purge("web"))?.0.id)).await;
    let (deployment, first) = deploy(&world, service, with_purge("web"), 10).await;
    world.write(11, move |tx| tx.record_purge(row(service, first, 0, 10), Ok(200))).await;
    let result = world
        .try_write(20, move |tx| {
            tx.revert_live(deployment)?;
            assert_eq!(tx.list_purges()?.len(), 1);
            Err::<(), _>(StoreError::GivenUp)
        })
        .await;
    assert!(matches!(result, Err(StoreError::GivenUp)));
    assert_eq!(rows(&world).await, []);
    // After a first release that is taken back nothing is live; what a CDN holds of it is to be forgotten.
    world.write(30, move |tx| tx.revert_live(deployment)).await;
    assert_eq!(rows(&world).await, [row(service, first, 0, 30)]);
}

#[tokio::test]
async fn how_a_call_ended_is_remembered_and_told() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, with_purge("web"))?.0.id)).await;
    let (_, first) = deploy(&world, service, with_purge("web"), 10).await;
    let call = row(service, first, 0, 10);
    let failed = || Err("cdn.example: answered 503".to_owned());
    world.write(11, move |tx| tx.record_purge(call, failed())).await;
    let again = row(service, first, 1, 21);
    assert_eq!(rows(&world).await, [again]);
    // The same once more: two rounds that made the same call count as one.
    world.write(12, move |tx| tx.record_purge(call, Ok(200))).await;
    assert_eq!(rows(&world).await, [again]);
    world.write(21, move |tx| tx.record_purge(again, Ok(202))).await;
    assert_eq!(rows(&world).await, []);
    assert_eq!(
        told(&world).await,
        [
            "CDN not told of r1 (try 1, another follows): cdn.example: answered 503",
            "CDN told of r1: it forgets the pages from before (answered 202)",
        ]
    );
}

#[tokio::test]
async fn after_the_last_try_the_row_is_gone() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, with_purge("web"))?.0.id)).await;
    deploy(&world, service, with_purge("web"), 10).await;
    let mut tries = 0;
    while let [call] = rows(&world).await[..] {
        tries += 1;
        world.write(10 + tries, move |tx| tx.record_purge(call, Err("no answer".to_owned()))).await;
    }
    assert_eq!(tries, 24);
    assert_eq!(
        told(&world).await.last().unwrap(),
        "CDN not told of r1 after 24 tries: no answer; purge it by hand"
    );
}

#[tokio::test]
async fn a_destroyed_site_takes_its_call_along() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, with_purge("web"))?.0.id)).await;
    let (_, first) = deploy(&world, service, with_purge("web"), 10).await;
    world.write(20, move |tx| tx.request_destroy(service, at(20))).await;
    world.write(21, move |tx| tx.remove_service(service)).await;
    assert_eq!(rows(&world).await, []);
    // A call that was under way ends after that.
    world.write(22, move |tx| tx.record_purge(row(service, first, 0, 10), Ok(200))).await;
    assert!(told(&world).await.is_empty());
}
