//! Releases.

use havre_core::id::{BuildId, ReleaseId};
use havre_core::release::Release;
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
