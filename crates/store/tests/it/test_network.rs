//! Networks of tests with databases: they share the pool of environments, and are remembered until they are gone.

use havre_core::build::State;
use havre_core::id::BuildId;
use havre_store::StoreError;

use crate::world::{World, at, tasks};

/// A build that runs.
async fn running(world: &World) -> BuildId {
    let service = world.service().await;
    world
        .write(1, move |tx| {
            let id = tx.create_build(service, tasks("api", 2, &[]), 1, String::new())?.id;
            tx.set_build_state(id, &State::Queued, State::Running { since: at(1) })?;
            Ok(id)
        })
        .await
}

async fn networks(world: &World) -> Vec<BuildId> {
    world.store.read(|view| view.list_test_networks()).await.unwrap()
}

#[tokio::test]
async fn a_network_is_taken_from_the_pool_and_given_back() {
    let world = World::new();
    let id = running(&world).await;
    let subnet = world.write(2, move |tx| tx.reserve_test_network(id)).await;
    assert_eq!(subnet, "10.89.1.0/24", "the first one is that of the environment");
    let again = world.write(3, move |tx| tx.reserve_test_network(id)).await;
    assert_eq!(again, subnet);
    let other = world
        .try_write(4, |tx| tx.ensure_environment("dropit".parse().unwrap(), "other".parse().unwrap()))
        .await;
    assert!(matches!(other, Err(StoreError::PoolExhausted { .. })), "nobody else gets it: {other:?}");
    let world = world.reopen();
    assert_eq!(networks(&world).await, [id], "found again after a crash");
    world.write(5, move |tx| tx.release_test_network(id)).await;
    world.write(6, move |tx| tx.release_test_network(id)).await;
    assert_eq!(networks(&world).await, []);
}

#[tokio::test]
async fn a_test_that_is_over_gets_none() {
    let world = World::new();
    let id = running(&world).await;
    world
        .write(2, move |tx| {
            tx.set_build_state(id, &State::Running { since: at(1) }, State::Cancelled { at: at(2) })
        })
        .await;
    let refused = world.try_write(3, move |tx| tx.reserve_test_network(id)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(networks(&world).await, []);
}
