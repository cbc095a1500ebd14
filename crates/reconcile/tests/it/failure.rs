//! Deployments that fail: users never see the new release, the old one stays.

use havre_core::deployment::state::{FailureReason, State};
use havre_core::id::{ReleaseId, ServiceId, TaskId};
use havre_core::quantity::Span;
use havre_engine::error::EngineError;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::Script;

use havre_reconcile::clock::Clock;

use crate::world::{Control, Outside, spec, with_release_command, work};

/// A service with release r1 live.
pub(crate) async fn deployed() -> (Outside, Control, ServiceId) {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(spec(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    (outside, control, id)
}

pub(crate) async fn failure(control: &Control, id: ServiceId) -> FailureReason {
    match control.last_deployment(id).await.state {
        State::Failed { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn only_the_first_served(outside: &Outside) {
    let state = outside.edge.state.lock().unwrap();
    assert_eq!((state.served.as_slice(), state.outages), ([ReleaseId::new(1)].as_slice(), 0));
    assert_eq!(state.answering(), [ReleaseId::new(1)]);
}

#[tokio::test]
async fn a_release_that_ends_at_once_tells_its_last_words() {
    let (outside, control, id) = deployed().await;
    outside.add_image("2", Script::exits(1, &["starting", "no database"]));
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    control.settle().await;
    let expected = FailureReason::TaskExited {
        task: TaskId::new(3),
        exit: 1,
        out_of_memory: false,
        last_lines: vec!["starting".to_owned(), "no database".to_owned()],
    };
    assert_eq!(failure(&control, id).await, expected);
    only_the_first_served(&outside);
}

#[tokio::test]
async fn a_release_that_is_never_healthy_tells_what_its_probe_said() {
    let (outside, control, id) = deployed().await;
    outside.add_image("2", Script::runs());
    let reason = "GET / answered 500".to_owned();
    outside.edge.state.lock().unwrap().broken.insert(ReleaseId::new(2), reason.clone());
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    control.settle().await;
    let expected =
        FailureReason::NeverHealthy { task: TaskId::new(3), probe: reason, last_lines: Vec::new() };
    assert_eq!(failure(&control, id).await, expected);
    only_the_first_served(&outside);
}

#[tokio::test]
async fn a_release_command_that_fails_tells_its_last_words() {
    let (outside, control, id) = deployed().await;
    outside.command_exit.store(3, std::sync::atomic::Ordering::SeqCst);
    control.apply(spec(with_release_command(work("1")))).await;
    control.build(id).await;
    control.settle().await;
    let last_lines = vec!["migrating".to_owned()];
    assert_eq!(failure(&control, id).await, FailureReason::ReleaseCommandFailed { exit: 3, last_lines });
    only_the_first_served(&outside);
}

#[tokio::test]
async fn an_image_that_cannot_start_fails_at_once() {
    let (outside, control, id) = deployed().await;
    outside.add_image("2", Script::cannot_start("exec: no such file"));
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    control.settle().await;
    let FailureReason::TaskNotStarted { message, .. } = failure(&control, id).await else { panic!() };
    assert!(message.contains("exec: no such file"), "{message}");
    only_the_first_served(&outside);
}

#[tokio::test]
async fn an_image_that_does_not_exist_fails_the_build() {
    let (outside, control, id) = deployed().await;
    control.apply(spec(work("9"))).await;
    let build = control.build(id).await;
    control.settle().await;
    let build = control.world.store.read(move |view| view.get_build(build)).await.unwrap();
    let havre_core::build::State::Failed { reason, .. } = build.state else { panic!("{:?}", build.state) };
    assert_eq!(reason, "image `api:9` does not exist");
    only_the_first_served(&outside);
}

#[tokio::test]
async fn a_registry_that_limits_is_named() {
    let (outside, control, id) = deployed().await;
    let error = EngineError::RateLimited {
        what: "image `api:9`".to_owned(),
        retry_after: None,
        message: "toomanyrequests".to_owned(),
    };
    outside.engine.name_image(&"api:9".parse().unwrap(), Err(error));
    control.apply(spec(work("9"))).await;
    let build = control.build(id).await;
    control.settle().await;
    let build = control.world.store.read(move |view| view.get_build(build)).await.unwrap();
    let havre_core::build::State::Failed { reason, .. } = build.state else { panic!("{:?}", build.state) };
    assert_eq!(
        reason,
        "the registry limits how often image `api:9` may be pulled: toomanyrequests; \
         a pull counts for 6h: try again after that at the latest"
    );
}

#[tokio::test]
async fn a_dead_engine_is_waited_for() {
    let (outside, control, id) = deployed().await;
    outside.add_image("2", Script::runs());
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    outside.engine.fail_next(
        Operation::EnsureTask,
        EngineError::Unreachable { address: "unix:///x".to_owned(), message: "refused".to_owned() },
    );
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    assert_eq!(outside.edge.state.lock().unwrap().outages, 0);
}

#[tokio::test]
async fn an_engine_that_stays_dead_is_given_up() {
    let (outside, control, id) = deployed().await;
    control.apply(spec(work("1"))).await;
    control.build(id).await;
    let error = EngineError::NoSpace { what: "make a network".to_owned() };
    for _ in 0..20 {
        outside.engine.fail_next(Operation::EnsureNetwork, error.clone());
    }
    for _ in 0..3 {
        control.activate().await;
        assert_eq!(control.last_deployment(id).await.state.name(), "preparing");
    }
    outside.clock.advance(Span::seconds(600).duration());
    control.activate().await;
    let FailureReason::NotPrepared { message } = failure(&control, id).await else { panic!() };
    assert!(message.contains("no space left on the engine's disk"), "{message}");
    only_the_first_served(&outside);
}

#[tokio::test]
async fn tasks_that_end_are_replaced() {
    let (outside, control, id) = deployed().await;
    outside.engine.lose_power();
    control.settle().await;
    let tasks = control.world.store.read(move |view| view.list_tasks(id)).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.id.row()).collect::<Vec<_>>(), [3, 4]);
    assert!(tasks.iter().all(|task| task.proven_at.is_some()));
}

#[tokio::test]
async fn a_clock_that_jumps_forward_or_back_breaks_nothing() {
    let (outside, control, id) = deployed().await;
    outside.add_image("2", Script::runs());
    let start = outside.clock.now();
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    control.activate().await;
    outside.clock.set(start.after(Span::seconds(86_400 * 365).duration()));
    control.settle().await;
    outside.clock.set(start);
    control.build(id).await;
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    assert_eq!(outside.edge.state.lock().unwrap().outages, 0);
}
