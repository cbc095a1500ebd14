//! Images of releases: what is needed, and that one that is given up is remembered and told.

use havre_core::artifact::{Artifact, Digest};
use havre_core::deployment::Kind;
use havre_core::deployment::state::State;
use havre_core::id::{ReleaseId, ServiceId};
use havre_store::NewRelease;

use crate::world::{World, at, tasks};

fn digest(number: i64) -> Digest {
    format!("{number:064x}").parse().unwrap()
}

/// A new release with an image of its own, asked for at `seconds`; it ends succeeded where that is wanted.
async fn deploy(world: &World, service: ServiceId, seconds: i64, succeeds: bool) -> ReleaseId {
    world
        .write(seconds, move |tx| {
            let new = NewRelease {
                service,
                artifact: Artifact::Image { id: digest(seconds), pull: None },
                spec: tasks("api", 2, &[]),
                revision: 1,
                build: None,
                commit: String::new(),
            };
            let release = tx.create_release(new)?.id;
            let deployment = tx.create_deployment(service, release, Kind::Deploy)?.id;
            if succeeds {
                tx.go_live(deployment, at(seconds))?;
                tx.set_deployment_state(deployment, &State::Pending, State::Succeeded { at: at(seconds) })?;
            }
            Ok(release)
        })
        .await
}

#[tokio::test]
async fn rows_say_what_is_in_use_and_what_succeeded() {
    let world = World::new();
    let service = world.service().await;
    let first = deploy(&world, service, 10, true).await;
    let second = deploy(&world, service, 20, true).await;
    let third = deploy(&world, service, 30, false).await;
    let rows = world.store.read(|view| view.image_rows()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].live, Some(second));
    assert_eq!(rows[0].wanted.iter().copied().collect::<Vec<_>>(), [third], "its deployment is open");
    let releases: Vec<(ReleaseId, bool)> =
        rows[0].releases.iter().map(|release| (release.id, release.has_succeeded)).collect();
    assert_eq!(releases, [(third, false), (second, true), (first, true)]);
    // A task that is not gone keeps its image.
    world.write(40, move |tx| tx.allocate_task(service, first, 0, false).map(|_| ())).await;
    let rows = world.store.read(|view| view.image_rows()).await.unwrap();
    assert!(rows[0].wanted.contains(&first));
}

#[tokio::test]
async fn images_that_are_given_up_are_remembered_and_told_once() {
    let world = World::new();
    let service = world.service().await;
    let first = deploy(&world, service, 10, true).await;
    deploy(&world, service, 20, true).await;
    world.write(30, move |tx| tx.record_image_removed(digest(10), &[first])).await;
    world.write(31, move |tx| tx.record_image_removed(digest(99), &[])).await;
    let removed = world.store.read(move |view| view.removed_releases(service)).await.unwrap();
    assert_eq!(removed.into_iter().collect::<Vec<_>>(), [first]);
    assert_eq!(world.story().await.last().unwrap(), "image of r1 removed (000000000000)");
    let rows = world.store.read(|view| view.image_rows()).await.unwrap();
    let is_removed = |id: ReleaseId| rows[0].releases.iter().any(|row| row.id == id && row.is_removed);
    assert!(is_removed(first) && rows[0].releases.iter().filter(|row| row.is_removed).count() == 1);
}
