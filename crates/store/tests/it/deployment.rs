//! Deployment states, the switch and its way back.

use havre_core::deployment::Kind;
use havre_core::deployment::state::State;
use havre_core::id::{DeploymentId, ReleaseId, ServiceId};
use havre_core::service::Service;
use havre_store::StoreError;

use crate::world::{World, at, release};

async fn deploy(world: &World, service: ServiceId, replicas: u32, kind: Kind) -> (DeploymentId, ReleaseId) {
    world
        .write(1, move |tx| {
            let release = release(tx, service, replicas)?;
            Ok((tx.create_deployment(service, release, kind)?.id, release))
        })
        .await
}

async fn go_live(world: &World, id: DeploymentId) {
    world.write(2, move |tx| tx.go_live(id, at(2))).await;
}

async fn get(world: &World, service: ServiceId) -> Service {
    world.store.read(move |view| view.get_service(service)).await.unwrap()
}

#[tokio::test]
async fn states_are_compared_and_set() {
    let world = World::new();
    let service = world.service().await;
    let (first, _) = deploy(&world, service, 2, Kind::Deploy).await;
    let (second, _) = deploy(&world, service, 2, Kind::Rollback).await;
    let preparing = State::Preparing { since: at(2) };
    let set = |id: DeploymentId, from: &State, to: &State| {
        let (from, to) = (from.clone(), to.clone());
        world.try_write(2, move |tx| tx.set_deployment_state(id, &from, to))
    };
    set(first, &State::Pending, &preparing).await.unwrap();
    let before = world.story().await;
    let error = set(first, &State::Pending, &State::Cancelled { at: at(2) }).await.unwrap_err();
    assert_eq!(error.to_string(), "d1 changed meanwhile: it is preparing, not pending");
    assert!(matches!(error, StoreError::Conflict { .. }));
    let error = set(first, &State::Preparing { since: at(9) }, &State::Cancelled { at: at(2) }).await;
    assert!(matches!(error, Err(StoreError::Conflict { .. })), "the data of a state counts too");
    assert_eq!(world.story().await, before);

    world.write(2, move |tx| tx.set_waiting("deployment", first.row(), "for an edge")).await;
    set(first, &preparing, &State::Superseded { at: at(3), by: second }).await.unwrap();
    let (open, of_service, all, waiting) = world
        .store
        .read(move |view| {
            Ok((
                view.list_open_deployments()?,
                view.open_deployments(service)?,
                view.list_deployments(service, 10)?,
                view.waiting("deployment", first.row())?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(open, of_service);
    assert_eq!(open.iter().map(|d| (d.id, d.kind)).collect::<Vec<_>>(), [(second, Kind::Rollback)]);
    assert_eq!(all.iter().map(|d| d.id).collect::<Vec<_>>(), [second, first], "newest first");
    assert_eq!(waiting, None, "an ended deployment waits for nothing");
    assert_eq!(
        world.story().await,
        [
            "service created",
            "deploy d1 of r1 requested",
            "rollback d2 of r2 requested",
            "d1 is preparing",
            "d1 was superseded by d2",
        ]
    );
}

#[tokio::test]
async fn open_ones_are_listed_oldest_first_and_cancelled_once() {
    let world = World::new();
    let service = world.service().await;
    let (first, _) = deploy(&world, service, 2, Kind::Deploy).await;
    let (second, _) = deploy(&world, service, 2, Kind::Deploy).await;
    for _ in 0..2 {
        world.write(2, move |tx| tx.request_cancel(first)).await;
    }
    world
        .write(3, move |tx| {
            tx.set_deployment_state(second, &State::Pending, State::Succeeded { at: at(3) })?;
            tx.request_cancel(second)
        })
        .await;
    let all = world.store.read(move |view| view.list_deployments(service, 10)).await.unwrap();
    let flags: Vec<_> = all.iter().map(|d| (d.id, d.cancel_requested)).collect();
    assert_eq!(flags, [(second, false), (first, true)]);
    let open = world.store.read(move |view| view.open_deployments(service)).await.unwrap();
    assert_eq!(open.iter().map(|d| d.id).collect::<Vec<_>>(), [first]);
    let story = world.story().await;
    assert_eq!(story[3..], ["d1 should be cancelled", "d2 is succeeded"]);
}

#[tokio::test]
async fn going_live_happens_once_and_proves_running_tasks() {
    let world = World::new();
    let service = world.service().await;
    let (first, old) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, first).await;
    let (second, new) = deploy(&world, service, 2, Kind::Deploy).await;
    let (runs, drains) = world
        .write(1, move |tx| {
            let runs = tx.allocate_task(service, new, 0, true)?.id;
            let drains = tx.allocate_task(service, new, 1, true)?.id;
            let reason = havre_core::task::event::DrainReason::Unhealthy;
            tx.drain_task(drains, at(9), None, reason)?;
            Ok((runs, drains))
        })
        .await;
    go_live(&world, second).await;
    let before = (world.story().await, world.changes());
    go_live(&world, second).await;
    assert_eq!((world.story().await, world.changes()), before, "the second time changes nothing");

    let (service, deployment, tasks) = world
        .store
        .read(move |view| {
            Ok((view.get_service(service)?, view.get_deployment(second)?, view.list_tasks(service)?))
        })
        .await
        .unwrap();
    assert_eq!((service.live, deployment.previous), (Some(new), Some(old)));
    let proven: Vec<_> = tasks.iter().map(|task| (task.id, task.proven_at)).collect();
    assert_eq!(proven, [(runs, Some(at(2))), (drains, None)]);
    let story = world.story().await;
    assert_eq!(story[story.len() - 2..], ["r2 went live instead of r1 (d2)", "t1 is healthy"]);
}

#[tokio::test]
async fn the_way_back_restores_the_release_and_its_number_of_tasks() {
    let world = World::new();
    let service = world.service().await;
    let (first, old) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, first).await;
    world.write(2, move |tx| tx.scale_service(service, 5)).await;
    let (second, new) = deploy(&world, service, 3, Kind::Deploy).await;
    world.write(2, move |tx| tx.revert_live(second)).await;
    assert_eq!(get(&world, service).await.live, Some(old), "it never went live");

    go_live(&world, second).await;
    let live = get(&world, service).await;
    assert_eq!((live.live, live.replicas), (Some(new), 3));
    for _ in 0..2 {
        world.write(3, move |tx| tx.revert_live(second)).await;
        // A step repeated late must not undo the way back.
        go_live(&world, second).await;
        let back = get(&world, service).await;
        assert_eq!((back.live, back.replicas), (Some(old), 5));
    }
    assert_eq!(
        world.story().await[3..],
        [
            "scaled from 2 to 5 tasks",
            "deploy d2 of r2 requested",
            "scaled from 5 to 3 tasks",
            "r2 went live instead of r1 (d2)",
            "scaled from 3 to 5 tasks",
            "r1 went live instead of r2 (d2)",
        ]
    );
}

#[tokio::test]
async fn the_way_back_proves_tasks_that_were_started_for_it() {
    let world = World::new();
    let service = world.service().await;
    let (first, old) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, first).await;
    let (second, _) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, second).await;
    let task = world.write(3, move |tx| tx.allocate_task(service, old, 0, true)).await.id;
    world.write(4, move |tx| tx.revert_live(second)).await;
    let task = world.store.read(move |view| view.get_task(task)).await.unwrap();
    assert_eq!(task.proven_at, Some(at(4)));
}

#[tokio::test]
async fn the_way_back_of_a_first_deployment_leaves_nothing_live() {
    let world = World::new();
    let service = world.service().await;
    let (first, _) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, first).await;
    world.write(3, move |tx| tx.revert_live(first)).await;
    assert_eq!(get(&world, service).await.live, None);
}

#[tokio::test]
async fn the_way_back_keeps_its_hands_off_a_newer_release() {
    let world = World::new();
    let service = world.service().await;
    let (first, _) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, first).await;
    let (second, newer) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, second).await;
    world.write(3, move |tx| tx.revert_live(first)).await;
    assert_eq!(get(&world, service).await.live, Some(newer));
}

#[tokio::test]
async fn a_scale_survives_unless_the_specified_number_changed() {
    for (kind, replicas, expected) in
        [(Kind::Deploy, 2, 5), (Kind::Deploy, 3, 3), (Kind::Rollback, 3, 3), (Kind::Restart, 3, 5)]
    {
        let world = World::new();
        let service = world.service().await;
        let (first, _) = deploy(&world, service, 2, Kind::Deploy).await;
        go_live(&world, first).await;
        world.write(2, move |tx| tx.scale_service(service, 5)).await;
        let (second, _) = deploy(&world, service, replicas, kind).await;
        go_live(&world, second).await;
        assert_eq!(get(&world, service).await.replicas, expected, "{kind:?} with {replicas}");
    }
}

#[tokio::test]
async fn a_restart_of_the_same_release_has_a_way_back_to_itself() {
    let world = World::new();
    let service = world.service().await;
    let (first, live) = deploy(&world, service, 2, Kind::Deploy).await;
    go_live(&world, first).await;
    let restart = world.write(3, move |tx| Ok(tx.create_deployment(service, live, Kind::Restart)?.id)).await;
    world.write(4, move |tx| tx.revert_live(restart)).await;
    assert_eq!(
        get(&world, service).await.live,
        Some(live),
        "before the switch there is nothing to go back from"
    );
    go_live(&world, restart).await;
    let before = (world.story().await, world.changes());
    world.write(5, move |tx| tx.revert_live(restart)).await;
    assert_eq!((world.story().await, world.changes()), before);
    assert_eq!(get(&world, service).await.live, Some(live));
}
