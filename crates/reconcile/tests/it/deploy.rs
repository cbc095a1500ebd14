//! Deployments that succeed.

use havre_core::deployment::Kind;
use havre_core::deployment::state::State;
use havre_core::event::Actor;
use havre_core::id::ReleaseId;
use havre_core::service::spec::Work;
use havre_engine::Engine;
use havre_engine::fake::script::Script;
use havre_reconcile::build::log_path;

use crate::world::{Outside, spec, with_release_command, with_volume, work};

#[tokio::test]
async fn a_build_becomes_a_release_that_serves() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(spec(with_release_command(work("1")))).await;
    let build = control.build(id).await;
    control.settle().await;
    let deployment = control.last_deployment(id).await;
    assert_eq!(deployment.state.name(), "succeeded");
    assert_eq!(control.service(id).await.live, Some(deployment.release));
    assert_eq!(outside.edge.state.lock().unwrap().answering(), [deployment.release]);
    let log = std::fs::read_to_string(log_path(&outside.path("builds"), build)).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    let tasks = outside.engine.list_tasks().await.unwrap();
    assert_eq!(tasks.len(), 2, "no release command is left");
}

#[tokio::test]
async fn the_next_release_replaces_it_and_a_rollback_brings_it_back() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    outside.add_image("2", Script::runs());
    let control = outside.control();
    let id = control.apply(spec(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    control.settle().await;
    let first = ReleaseId::new(1);
    let rollback = control.request(id, first, Kind::Rollback).await;
    control.settle().await;
    assert!(matches!(control.deployment(rollback.id).await.state, State::Succeeded { .. }));
    let state = outside.edge.state.lock().unwrap();
    assert_eq!(state.served, [ReleaseId::new(1), ReleaseId::new(2)]);
    assert_eq!((state.answering(), state.outages), (vec![first], 0));
}

#[tokio::test]
async fn saved_logs_of_replaced_tasks_stay() {
    let outside = Outside::new();
    let script =
        Script { lines: vec![(havre_engine::log::LogSource::Stdout, "hello".to_owned())], ..Script::runs() };
    outside.add_image("1", script);
    let control = outside.control();
    let id = control.apply(spec(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    control.build(id).await;
    control.settle().await;
    let text = std::fs::read_to_string(outside.path("logs").join(id.to_string()).join("t1-r1.log")).unwrap();
    assert!(text.ends_with(" out hello\n"), "{text}");
}

#[tokio::test]
async fn a_volume_has_one_writer() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(spec(with_volume(work("1")))).await;
    for _ in 0..3 {
        control.build(id).await;
        control.settle().await;
    }
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    assert_eq!(outside.engine.volume_overlaps(), []);
    assert_eq!(outside.engine.volume_names(), [format!("havre-{id}-data")]);
}

#[tokio::test]
async fn ten_builds_at_once_make_at_most_two() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(spec(work("1"))).await;
    for _ in 0..10 {
        control.build(id).await;
    }
    control.settle().await;
    let builds = control.world.store.read(move |view| view.list_builds(id, 20)).await.unwrap();
    let names: Vec<_> = builds.iter().map(|build| build.state.name()).collect();
    assert_eq!(names.iter().filter(|name| **name == "succeeded").count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == "superseded").count(), 9, "{names:?}");
}

#[tokio::test]
async fn a_destroyed_service_leaves_nothing() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(spec(with_volume(work("1")))).await;
    control.build(id).await;
    control.settle().await;
    let now = control.world.now();
    control.world.store.write(now, Actor::Local, move |tx| tx.request_destroy(id, now)).await.unwrap();
    control.settle().await;
    assert_eq!(outside.engine.list_tasks().await.unwrap(), []);
    assert_eq!(outside.engine.volume_names(), Vec::<String>::new());
    assert_eq!(outside.engine.network_names(), ["havre-edge"]);
    assert_eq!(control.world.store.read(|view| view.list_environments()).await.unwrap(), []);
}

#[tokio::test]
async fn a_scale_survives_the_next_deployment() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(spec(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    control
        .world
        .store
        .write(control.world.now(), Actor::Local, move |tx| tx.scale_service(id, 4))
        .await
        .unwrap();
    control.settle().await;
    assert_eq!(outside.engine.list_tasks().await.unwrap().len(), 4);
    let mut changed = work("1");
    changed.env.insert("A".parse().unwrap(), "b".to_owned());
    control.apply(spec(changed)).await;
    control.build(id).await;
    control.settle().await;
    assert_eq!(outside.engine.list_tasks().await.unwrap().len(), 4);
    let Work::Tasks(work) = control.service(id).await.spec.work else { panic!("has tasks") };
    assert_eq!(work.replicas, 2);
}
