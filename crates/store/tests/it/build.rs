//! Builds.

use havre_core::artifact::ImageRef;
use havre_core::build::State;
use havre_core::id::BuildId;
use havre_store::StoreError;

use crate::world::{World, at, tasks};

#[tokio::test]
async fn states_are_compared_and_set() {
    let world = World::new();
    let service = world.service().await;
    let queue = || {
        world.write(1, move |tx| Ok(tx.create_build(service, tasks("api", 2, &[]), 1, "abc".to_owned())?.id))
    };
    let (first, second) = (queue().await, queue().await);
    let running = State::Running { since: at(2) };
    let set = |id: BuildId, from: &State, to: &State| {
        let (from, to) = (from.clone(), to.clone());
        world.try_write(2, move |tx| tx.set_build_state(id, &from, to))
    };
    set(first, &State::Queued, &State::Superseded { at: at(2), by: second }).await.unwrap();
    set(second, &State::Queued, &running).await.unwrap();
    let changes = world.changes();
    set(second, &running, &running).await.unwrap();
    assert_eq!(world.changes(), changes, "the same state is no change");
    let error = set(second, &State::Queued, &State::Cancelled { at: at(2) }).await.unwrap_err();
    assert_eq!(error.to_string(), "b2 changed meanwhile: it is running, not queued");
    let error = set(second, &State::Running { since: at(9) }, &State::Cancelled { at: at(2) }).await;
    assert!(matches!(error, Err(StoreError::Conflict { .. })), "the data of a state counts too");

    let (open, all) = world
        .store
        .read(move |view| Ok((view.list_open_builds()?, view.list_builds(service, 10)?)))
        .await
        .unwrap();
    assert_eq!(open.iter().map(|build| (build.id, &build.state)).collect::<Vec<_>>(), [(second, &running)]);
    assert_eq!(all.iter().map(|build| build.id).collect::<Vec<_>>(), [second, first], "newest first");
    assert_eq!((all[0].commit.as_str(), all[0].created_at), ("abc", at(1)));
    assert_eq!(
        world.story().await,
        [
            "service created",
            "build b1 is queued",
            "build b2 is queued",
            "build b1 was superseded by b2",
            "build b2 is running",
        ]
    );
}

#[tokio::test]
async fn base_images_are_remembered_with_their_digests() {
    let world = World::new();
    let service = world.service().await;
    let base: ImageRef = format!("docker.io/library/node:22@sha256:{}", "a".repeat(64)).parse().unwrap();
    let bases = vec![base];
    let expected = bases.clone();
    let id = world
        .write(1, move |tx| Ok(tx.create_build(service, tasks("api", 2, &[]), 1, String::new())?.id))
        .await;
    assert_eq!(world.store.read(move |view| view.list_build_bases(id)).await.unwrap(), []);
    world.write(2, move |tx| tx.record_build_bases(id, &bases)).await;
    assert_eq!(world.store.read(move |view| view.list_build_bases(id)).await.unwrap(), expected);
    let unknown = world.store.read(|view| view.list_build_bases(BuildId::new(9))).await;
    assert_eq!(unknown.unwrap_err().to_string(), "there is no build b9");
}
