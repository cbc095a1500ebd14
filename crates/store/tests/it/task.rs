//! Tasks and their addresses.

use havre_core::id::{ServiceId, TaskId};
use havre_core::task::event::DrainReason;
use havre_core::task::{Task, WantedTask};
use havre_store::StoreError;

use crate::world::{World, at, release};

async fn world_with_release() -> (World, ServiceId) {
    let world = World::new();
    let service = world.service().await;
    world.write(0, move |tx| release(tx, service, 2)).await;
    (world, service)
}

async fn allocate(world: &World, service: ServiceId) -> Result<Task, StoreError> {
    world
        .try_write(1, move |tx| {
            let release = tx.list_releases(service, 1)?[0].id;
            tx.allocate_task(service, release, 0, true)
        })
        .await
}

#[tokio::test]
async fn addresses_go_round_and_end() {
    let (mut world, service) = world_with_release().await;
    let mut last_octets = Vec::new();
    for _ in 0..5 {
        last_octets.push(allocate(&world, service).await.unwrap().address.unwrap().octets()[3]);
    }
    assert_eq!(last_octets, [2, 3, 4, 5, 6]);
    let before = (world.story().await, world.changes());
    let error = allocate(&world, service).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no free address for a task is left in 10.88.0.0/29: \
         remove some tasks or environments, or give Havre a larger pool"
    );
    assert_eq!((world.story().await, world.changes()), before);

    for gone in [2, 5] {
        world.write(2, move |tx| tx.forget_task(TaskId::new(gone))).await;
    }
    let mut again = Vec::new();
    for _ in 0..2 {
        // What was handed out last is remembered over a restart.
        world = world.reopen();
        again.push(allocate(&world, service).await.unwrap().address.unwrap().octets()[3]);
    }
    assert_eq!(again, [3, 6]);
}

#[tokio::test]
async fn an_address_rests_after_use() {
    let (world, service) = world_with_release().await;
    let mut last_octets = Vec::new();
    for _ in 0..6 {
        let task = allocate(&world, service).await.unwrap();
        last_octets.push(task.address.unwrap().octets()[3]);
        world.write(2, move |tx| tx.forget_task(task.id)).await;
    }
    assert_eq!(last_octets, [2, 3, 4, 5, 6, 2]);
}

#[tokio::test]
async fn a_life_is_told_once() {
    let (world, service) = world_with_release().await;
    let task = allocate(&world, service).await.unwrap();
    let id = task.id;
    assert_eq!((task.wanted, task.proven_at, task.created_at), (WantedTask::Run, None, at(1)));
    for _ in 0..2 {
        world.write(2, move |tx| tx.prove_task(id)).await;
        world.write(3, move |tx| tx.mark_unhealthy(id, "GET /health answered 500")).await;
    }
    let sick = world.store.read(move |view| view.get_task(id)).await.unwrap();
    assert_eq!((sick.proven_at, sick.unhealthy_since), (Some(at(2)), Some(at(3))));
    for seconds in [4, 5] {
        world.write(seconds, move |tx| tx.mark_recovered(id)).await;
        let deadline = at(seconds + 30);
        world.write(seconds, move |tx| tx.drain_task(id, deadline, None, DrainReason::ScaledDown)).await;
        world.write(seconds, move |tx| tx.record_task_exit(id, 137, true, &["bye".to_owned()])).await;
    }
    let ended = world.store.read(move |view| view.get_task(id)).await.unwrap();
    let wanted = WantedTask::Drain { deadline: at(34), by: None };
    assert_eq!((ended.wanted, ended.unhealthy_since), (wanted, None));
    for _ in 0..2 {
        world.write(6, move |tx| tx.forget_task(id)).await;
    }
    assert_eq!(world.store.read(|view| view.list_all_tasks()).await.unwrap(), []);
    assert_eq!(
        world.story().await[1..],
        [
            "t1 of r1 planned as replica 0",
            "t1 is healthy",
            "t1 is unhealthy: GET /health answered 500",
            "t1 is healthy again",
            "t1 drains: fewer tasks are wanted",
            "t1 was killed: it used more memory than its limit",
            "t1 is gone",
        ]
    );
    let next = allocate(&world.reopen(), service).await.unwrap();
    assert_eq!(next.id, TaskId::new(2), "ids are never used twice");
}

#[tokio::test]
async fn workers_need_no_address() {
    let (world, service) = world_with_release().await;
    let task = world
        .write(1, move |tx| {
            let release = tx.list_releases(service, 1)?[0].id;
            tx.allocate_task(service, release, 1, false)
        })
        .await;
    assert_eq!((task.address, task.slot), (None, 1));
    let listed = world.store.read(move |view| view.list_tasks(service)).await.unwrap();
    assert_eq!(listed, [task]);
}
