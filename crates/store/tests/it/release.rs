//! Releases.

use havre_core::deployment::Kind;
use havre_core::deployment::state::State;
use havre_core::id::{BuildId, ReleaseId, ServiceId};
use havre_core::quantity::ByteSize;
use havre_core::release::Release;
use havre_core::release::event::Measure;
use havre_core::release::promotion::PromotedFrom;
use havre_store::{NewRelease, StoreError};

use crate::world::{World, apply, at, image, release, tasks};

#[tokio::test]
async fn what_was_recorded_comes_back() {
    let world = World::new();
    let service = world.service().await;
    let made = world
        .write(5, move |tx| {
            let build = tx.create_build(service, tasks("api", 2, &[]), 1, "abc".to_owned())?;
            tx.create_release(NewRelease {
                service,
                artifact: image(),
                spec: tasks("api", 2, &[]),
                revision: 4,
                build: Some(build.id),
                commit: "abc".to_owned(),
            })
        })
        .await;
    let expected = Release {
        id: ReleaseId::new(1),
        service,
        artifact: image(),
        spec: tasks("api", 2, &[]),
        revision: 4,
        build: Some(BuildId::new(1)),
        commit: "abc".to_owned(),
        promoted_from: None,
        size: None,
        created_at: at(5),
    };
    assert_eq!(made, expected);
    let second = world.write(6, move |tx| release(tx, service, 1)).await;
    let listed = world.store.read(move |view| view.list_releases(service, 10)).await.unwrap();
    assert_eq!(
        listed.iter().map(|release| release.id).collect::<Vec<_>>(),
        [second, made.id],
        "newest first"
    );
    let one = world.store.read(move |view| view.list_releases(service, 1)).await.unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(world.store.read(move |view| view.get_release(made.id)).await.unwrap(), expected);
}

#[tokio::test]
async fn a_release_belongs_to_its_service() {
    let world = World::new();
    let api = world.service().await;
    let (web, _) = world.write(0, |tx| apply(tx, tasks("web", 1, &[]))).await;
    let of_api = world.write(0, move |tx| release(tx, api, 1)).await;
    let deployed = world
        .try_write(0, move |tx| {
            tx.create_deployment(web.id, of_api, havre_core::deployment::Kind::Rollback).map(|_| ())
        })
        .await;
    assert_eq!(deployed.unwrap_err().to_string(), "there is no release of this service named r1");
    let ran = world.try_write(0, move |tx| tx.allocate_task(web.id, of_api, 0, false).map(|_| ())).await;
    assert!(matches!(ran, Err(StoreError::Statement(_))), "the schema refuses it: {ran:?}");
    assert_eq!(world.store.read(|view| view.list_all_tasks()).await.unwrap(), []);
}

/// Deploys a release with success.
async fn succeed(world: &World, service: ServiceId, release: ReleaseId) {
    world
        .write(1, move |tx| {
            let deployment = tx.create_deployment(service, release, Kind::Deploy)?.id;
            tx.go_live(deployment, at(1))?;
            tx.set_deployment_state(deployment, &State::Pending, State::Succeeded { at: at(1) })
        })
        .await;
}

#[tokio::test]
async fn a_promoted_release_says_where_it_comes_from() {
    let world = World::new();
    let service = world.service().await;
    let from = PromotedFrom { environment: "staging".parse().unwrap(), release: ReleaseId::new(7) };
    let expected = from.clone();
    let made = world
        .write(2, move |tx| {
            let new = NewRelease {
                service,
                artifact: image(),
                spec: tasks("api", 2, &[]),
                revision: 1,
                build: None,
                commit: "abc".to_owned(),
            };
            tx.create_promotion(new, from)
        })
        .await;
    assert_eq!(made.promoted_from, Some(expected));
    assert_eq!(world.store.read(move |view| view.get_release(made.id)).await.unwrap(), made);
    assert_eq!(world.story().await, ["service created", "r1 made of r7 of staging"]);
}

#[tokio::test]
async fn the_release_of_the_newest_success_is_not_always_the_newest() {
    let world = World::new();
    let service = world.service().await;
    let found = async || {
        let found = world.store.read(move |view| view.find_succeeded_release(service)).await.unwrap();
        found.map(|release| release.id)
    };
    let first = world.write(0, move |tx| release(tx, service, 1)).await;
    assert_eq!(found().await, None);
    succeed(&world, service, first).await;
    let second = world.write(0, move |tx| release(tx, service, 1)).await;
    assert_eq!(found().await, Some(first), "a release nobody got does not count");
    succeed(&world, service, second).await;
    assert_eq!(found().await, Some(second));
    succeed(&world, service, first).await;
    assert_eq!(found().await, Some(first), "somebody went back");
}

#[tokio::test]
async fn a_size_is_told_once_and_compared_with_the_one_before() {
    let world = World::new();
    let service = world.service().await;
    for bytes in [100, 110, 150] {
        world
            .write(0, move |tx| {
                let id = release(tx, service, 1)?;
                tx.record_size(id, ByteSize::mebibytes(bytes))?;
                tx.record_size(id, ByteSize::mebibytes(1))
            })
            .await;
    }
    let listed = world.store.read(move |view| view.list_releases(service, 10)).await.unwrap();
    let sizes: Vec<_> = listed.iter().map(|release| release.size).collect();
    let expected = [150, 110, 100].map(|count| Some(ByteSize::mebibytes(count)));
    assert_eq!(sizes, expected);
    let story = world.story().await;
    let told = ["r1 takes 100.0 MB", "r2 takes 110.0 MB", "r3 takes 150.0 MB, 36 % more than r2 (110.0 MB)"];
    assert_eq!(story[1..], told);
    let before = world.store.read(move |view| view.find_measured_before(service, ReleaseId::new(3))).await;
    let bytes = ByteSize::mebibytes(110).as_bytes();
    assert_eq!(before.unwrap(), Some(Measure { release: ReleaseId::new(2), bytes }));
}
