//! Knobs of the fake that the contract does not use.

use futures_util::StreamExt;
use havre_core::artifact::ImageRef;
use havre_core::task::{EngineState, Healthcheck};
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::event::EngineEvent;
use havre_engine::fake::FakeEngine;
use havre_engine::fake::knobs::{Done, Operation, VolumeOverlap};
use havre_engine::fake::script::Script;
use havre_engine::image::PullPolicy;

use crate::contract::in_time;
use crate::fake_world::FakeWorld;
use crate::world::{Act, World, edge_network, find, private_network, task, volume};

fn broken() -> EngineError {
    EngineError::Failed { what: "test".to_owned(), message: "planned".to_owned() }
}

async fn prepared() -> (FakeWorld, FakeEngine) {
    let world = FakeWorld::start().await;
    for network in [private_network(&world), edge_network(&world)] {
        world.engine().ensure_network(&network).await.expect("a network");
    }
    let fake = world.fake();
    (world, fake)
}

#[tokio::test]
async fn planned_failures_happen_once_and_in_order() {
    let (world, fake) = prepared().await;
    let spec = task(&world, "api", Act::Runs).await;
    fake.fail_next(Operation::EnsureTask, broken());
    fake.lose_next_answer(Operation::EnsureTask, broken());
    assert_eq!(fake.ensure_task(&spec).await, Err(broken()));
    assert_eq!(find(&world, &spec.name).await, None, "the first did nothing");
    assert_eq!(fake.ensure_task(&spec).await, Err(broken()));
    assert!(find(&world, &spec.name).await.is_some(), "the second did its work");
    assert_eq!(fake.ensure_task(&spec).await, Ok(()));
    let done: Vec<Done> = fake.done().into_iter().filter(|d| d.operation == Operation::EnsureTask).collect();
    let expected = |is_ok| Done { operation: Operation::EnsureTask, subject: spec.name.clone(), is_ok };
    assert_eq!(done, [expected(false), expected(false), expected(true)]);
}

#[tokio::test]
async fn two_tasks_on_one_volume_are_noted() {
    let (world, fake) = prepared().await;
    let data = volume(&world);
    fake.ensure_volume(&data).await.expect("a volume");
    let mut specs = Vec::new();
    for _ in 0..3 {
        let mut spec = task(&world, "api", Act::Runs).await;
        spec.volumes = vec![(data.name.clone(), "/data".parse().expect("valid"))];
        specs.push(spec);
    }
    fake.ensure_task(&specs[0]).await.expect("a task");
    fake.exit_task(&specs[0].name, 0);
    fake.ensure_task(&specs[1]).await.expect("a task");
    assert_eq!(fake.volume_overlaps(), []);
    fake.ensure_task(&specs[2]).await.expect("a task");
    let (running, started) = (specs[1].name.clone(), specs[2].name.clone());
    assert_eq!(fake.volume_overlaps(), [VolumeOverlap { volume: data.name, running, started }]);
}

#[tokio::test]
async fn an_engine_that_was_away_resets_its_readers() {
    let (world, fake) = prepared().await;
    let spec = task(&world, "api", Act::Runs).await;
    fake.ensure_task(&spec).await.expect("a task");
    let mut events = fake.events().await;
    assert_eq!(in_time(events.next()).await, Some(EngineEvent::Reset));
    fake.set_reachable(false);
    assert!(matches!(fake.list_tasks().await, Err(EngineError::Unreachable { .. })));
    fake.set_reachable(true);
    assert_eq!(in_time(events.next()).await, Some(EngineEvent::Reset));
    // A clone is the same engine: control was restarted.
    assert_eq!(fake.clone().list_tasks().await.expect("a list").len(), 1);
    fake.set_healthcheck(&spec.name, Healthcheck::Healthy);
    let event = in_time(events.next()).await;
    assert!(
        matches!(event, Some(EngineEvent::HealthChanged { health: Healthcheck::Healthy, .. })),
        "{event:?}"
    );
    fake.lose_power();
    let exited = EngineState::Exited { code: 137, out_of_memory: false };
    assert_eq!(find(&world, &spec.name).await.map(|task| task.state), Some(exited));
    fake.lose_task(&spec.name);
    assert_eq!(find(&world, &spec.name).await, None);
}

#[tokio::test]
async fn names_answer_as_planned() {
    let fake = FakeEngine::new();
    let name: ImageRef = "registry.example.org/app:1".parse().expect("valid");
    let resolve = async || fake.resolve_image(&name, PullPolicy::Always, None, None).await;
    assert_eq!(resolve().await, Err(EngineError::not_found("image", name.as_str())));
    let limited = EngineError::RateLimited {
        what: name.to_string(),
        retry_after: Some(std::time::Duration::from_secs(9)),
        message: "slow down".to_owned(),
    };
    fake.name_image(&name, Err(limited.clone()));
    assert_eq!(resolve().await, Err(limited));
    let id: havre_core::artifact::Digest = "a".repeat(64).parse().expect("64 hex digits");
    let pull: ImageRef = format!("registry.example.org/app@{id}").parse().expect("valid");
    fake.add_image(&id, Some(pull.clone()), Script::runs());
    fake.name_image(&name, Ok(id.clone()));
    let resolved = resolve().await.expect("it is here");
    assert_eq!((&resolved.id, resolved.pull), (&id, Some(pull)));
    fake.lose_image(&id);
    assert_eq!(fake.find_image(&id).await, Ok(None));
}

#[tokio::test]
async fn pulls_are_kept_with_who_pulled() {
    let fake = FakeEngine::new();
    let name: ImageRef = "registry.example.org/app:1".parse().expect("valid");
    let other: ImageRef = "other.example.org/app:1".parse().expect("valid");
    let id: havre_core::artifact::Digest = "a".repeat(64).parse().expect("64 hex digits");
    fake.add_image(&id, None, Script::runs());
    let never = fake.resolve_image(&name, PullPolicy::Never, None, None).await;
    assert_eq!(never, Err(EngineError::not_found("image", name.as_str())));
    fake.hold_image(&name, &id);
    let present = fake.resolve_image(&name, PullPolicy::Never, None, None).await.expect("it is here");
    assert_eq!((present.id, fake.pulls()), (id.clone(), Vec::new()));
    let credentials = havre_core::registry::Credentials {
        host: "registry.example.org".parse().expect("a host"),
        user: "ada".parse().expect("a user"),
        password: "planted".into(),
    };
    fake.name_image(&name, Ok(id.clone()));
    fake.name_image(&other, Ok(id));
    for reference in [&name, &other] {
        let pulled = fake.resolve_image(reference, PullPolicy::Always, Some(&credentials), None).await;
        pulled.expect("it is named");
    }
    assert_eq!(fake.pulls(), [(name, Some("ada".to_owned())), (other, None)]);
}
