//! Releases of sites: when each stopped being live, over switches, ways back and rollbacks; and whose files are gone.

use havre_core::artifact::{Artifact, Digest};
use havre_core::deployment::Kind;
use havre_core::id::{DeploymentId, ReleaseId, ServiceId};
use havre_core::time::Timestamp;
use havre_store::NewRelease;

use crate::world::{World, apply, at, site};

fn digest(number: i64) -> Digest {
    format!("{number:064x}").parse().unwrap()
}

/// A new release of the site, live at `seconds`.
async fn deploy(world: &World, service: ServiceId, seconds: i64) -> (DeploymentId, ReleaseId) {
    world
        .write(seconds, move |tx| {
            let new = NewRelease {
                service,
                artifact: Artifact::Site { digest: digest(seconds) },
                spec: site("web"),
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

async fn left(world: &World, service: ServiceId) -> Vec<(ReleaseId, Timestamp)> {
    world.store.read(move |view| view.left_releases(service)).await.unwrap()
}

#[tokio::test]
async fn it_is_known_when_each_release_stopped_being_live() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, site("web"))?.0.id)).await;
    let (_, first) = deploy(&world, service, 10).await;
    assert_eq!(left(&world, service).await, []);
    let (second_deployment, second) = deploy(&world, service, 20).await;
    assert_eq!(left(&world, service).await, [(first, at(20))]);
    // The way back: the first is live again, and the second was for a moment.
    world.write(30, move |tx| tx.revert_live(second_deployment)).await;
    assert_eq!(left(&world, service).await, [(second, at(30))]);
    let (_, third) = deploy(&world, service, 40).await;
    assert_eq!(left(&world, service).await, [(first, at(40)), (second, at(30))]);
    world.write(50, move |tx| tx.forget_left(second)).await;
    assert_eq!(left(&world, service).await, [(first, at(40))]);

    let rows = world.store.read(|view| view.site_rows()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].live, Some(third));
    let mut wanted = rows[0].wanted.clone();
    wanted.sort();
    wanted.dedup();
    assert_eq!(wanted, [first, second, third], "every deployment here is still open");
}

#[tokio::test]
async fn files_that_are_given_up_are_remembered_and_told() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, site("web"))?.0.id)).await;
    let (_, first) = deploy(&world, service, 10).await;
    deploy(&world, service, 20).await;
    world.write(30, move |tx| tx.record_files_removed(digest(10), &[first])).await;
    world.write(31, move |tx| tx.record_files_removed(digest(99), &[])).await;
    let removed = world.store.read(move |view| view.removed_releases(service)).await.unwrap();
    assert_eq!(removed.into_iter().collect::<Vec<_>>(), [first]);
    assert_eq!(world.story().await.last().unwrap(), "files of r1 removed (site 000000000000)");
    // Its time after the switch ends: that it has no files stays.
    world.write(40, move |tx| tx.forget_left(first)).await;
    assert_eq!(left(&world, service).await, []);
    let rows = world.store.read(|view| view.site_rows()).await.unwrap();
    assert!(rows[0].releases.iter().any(|row| row.id == first && row.is_removed && row.left_at.is_none()));
    // A destroyed site takes it all along.
    world.write(50, move |tx| tx.request_destroy(service, at(50))).await;
    world.write(51, move |tx| tx.remove_service(service)).await;
    assert!(world.store.read(|view| view.site_rows()).await.unwrap().is_empty());
}
