//! The switch: a deployment succeeds only once every edge and the public listener agree, and goes back otherwise. And
//! what ends it before: somebody cancels it, or a newer one takes its place.

use havre_core::deployment::Kind;
use havre_core::deployment::state::{FailureReason, State};
use havre_core::event::Actor;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::quantity::Span;
use havre_engine::Engine;
use havre_engine::fake::script::Script;
use havre_reconcile::public::PublicAnswer;

use crate::failure::{deployed, failure, only_the_first_served};
use crate::world::{Control, Outside, spec, work};

const FIRST: ReleaseId = ReleaseId::new(1);
const SECOND: ReleaseId = ReleaseId::new(2);

/// States of a deployment that goes back.
const WAY_BACK: [&str; 5] = ["preparing", "starting", "switching", "reverting", "failed"];

/// The first release is live, the second one was asked for.
async fn begun() -> (Outside, Control, ServiceId) {
    let (outside, control, id) = deployed().await;
    outside.add_image("2", Script::runs());
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    (outside, control, id)
}

/// The second release is live in rows, and the public listener still answers with the first.
async fn switching() -> (Outside, Control, ServiceId) {
    let (outside, control, id) = begun().await;
    outside.edge.state.lock().unwrap().public = Some(Ok(answer(Some("r1"))));
    control.reach(id, "switching").await;
    (outside, control, id)
}

/// The second release starts and does not get healthy.
async fn starting() -> (Outside, Control, ServiceId) {
    let (outside, control, id) = begun().await;
    outside.edge.state.lock().unwrap().broken.insert(SECOND, "GET / answered 503".to_owned());
    control.reach(id, "starting").await;
    (outside, control, id)
}

fn answer(release: Option<&str>) -> PublicAnswer {
    PublicAnswer { status: 200, release: release.map(ToOwned::to_owned) }
}

async fn cancel(control: &Control, id: ServiceId) {
    let deployment = control.last_deployment(id).await.id;
    let now = control.world.now();
    control.world.store.write(now, Actor::Local, move |tx| tx.request_cancel(deployment)).await.unwrap();
}

/// Users get the first release as before, and nothing of another one is left.
async fn assert_back(outside: &Outside, control: &Control, id: ServiceId) {
    assert_eq!(control.service(id).await.live, Some(FIRST));
    let tasks = control.world.store.read(move |view| view.list_tasks(id)).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.id.row()).collect::<Vec<_>>(), [1, 2], "the same tasks");
    assert_eq!(outside.engine.list_tasks().await.unwrap().len(), 2);
    let state = outside.edge.state.lock().unwrap();
    assert_eq!((state.answering(), state.outages), (vec![FIRST], 0));
}

#[tokio::test]
async fn a_release_the_public_listener_does_not_show_goes_back() {
    let cases = [
        (Ok(answer(Some("r1"))), "api.localhost/ was answered by r1"),
        (Ok(answer(None)), "api.localhost/ was answered with status 200 and no release"),
        (
            Err("connection reset".to_owned()),
            "127.0.0.1:80 did not answer for api.localhost/: connection reset",
        ),
    ];
    for (public, message) in cases {
        let (outside, control, id) = begun().await;
        outside.edge.state.lock().unwrap().public = Some(public);
        control.settle().await;
        let expected = FailureReason::NotSeen { message: message.to_owned() };
        assert_eq!(failure(&control, id).await, expected);
        assert_eq!(control.states(id).await, WAY_BACK);
        assert_back(&outside, &control, id).await;
    }
}

#[tokio::test]
async fn a_public_listener_that_is_late_is_waited_for() {
    let (outside, control, id) = switching().await;
    outside.clock.advance(Span::seconds(59).duration());
    control.edge_catches_up().await;
    control.activate().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "switching");
    outside.edge.state.lock().unwrap().public = None;
    control.settle().await;
    assert_eq!(control.states(id).await, ["preparing", "starting", "switching", "draining", "succeeded"]);
    assert_eq!(control.service(id).await.live, Some(SECOND));
}

#[tokio::test]
async fn a_first_release_nobody_sees_leaves_nothing_live() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    outside.edge.state.lock().unwrap().public = Some(Ok(answer(None)));
    let control = outside.control();
    let id = control.apply(spec(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    assert!(matches!(failure(&control, id).await, FailureReason::NotSeen { .. }));
    assert_eq!(control.service(id).await.live, None);
    assert_eq!(outside.engine.list_tasks().await.unwrap(), []);
}

#[tokio::test]
async fn an_edge_that_stays_behind_takes_the_release_back() {
    let (outside, control, id) = begun().await;
    outside.edge.state.lock().unwrap().refused = Some(SECOND);
    control.settle().await;
    let FailureReason::EdgesBehind { message } = failure(&control, id).await else {
        panic!("another reason")
    };
    assert!(message.starts_with("waits for every edge to use table "), "{message}");
    assert_eq!(control.states(id).await, WAY_BACK);
    assert_back(&outside, &control, id).await;
    only_the_first_served(&outside);
}

#[tokio::test]
async fn an_edge_that_falls_silent_takes_the_release_back_and_keeps_its_tasks() {
    let (outside, control, id) = begun().await;
    outside.edge.state.lock().unwrap().refused = Some(SECOND);
    control.reach(id, "switching").await;
    outside.edge.state.lock().unwrap().is_up = false;
    for _ in 0..40 {
        control.activate().await;
        outside.clock.advance(Span::seconds(5).duration());
    }
    let message = "no edge reports; is `havred edge` running?".to_owned();
    assert_eq!(failure(&control, id).await, FailureReason::EdgesBehind { message });
    assert_eq!(control.states(id).await, WAY_BACK);
    // Nobody has said that it sends no more users to them.
    assert_eq!(outside.engine.list_tasks().await.unwrap().len(), 4);
    outside.edge.state.lock().unwrap().is_up = true;
    control.settle().await;
    assert_back(&outside, &control, id).await;
    only_the_first_served(&outside);
}

#[tokio::test]
async fn a_cancelled_deployment_changes_nothing() {
    let (outside, control, id) = starting().await;
    cancel(&control, id).await;
    control.settle().await;
    assert_eq!(control.states(id).await, ["preparing", "starting", "cancelled"]);
    assert_back(&outside, &control, id).await;
    only_the_first_served(&outside);
}

#[tokio::test]
async fn cancelling_comes_too_late_once_users_are_switched() {
    let (outside, control, id) = switching().await;
    cancel(&control, id).await;
    control.activate().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "switching");
    outside.edge.state.lock().unwrap().public = None;
    control.settle().await;
    let last = control.last_deployment(id).await;
    assert_eq!((last.state.name(), last.cancel_requested), ("succeeded", true));
    assert_eq!(outside.edge.state.lock().unwrap().answering(), [SECOND]);
}

#[tokio::test]
async fn a_newer_deployment_takes_the_place_of_one_that_has_not_switched() {
    let (outside, control, id) = starting().await;
    let older = control.last_deployment(id).await.id;
    outside.add_image("3", Script::runs());
    control.apply(spec(work("3"))).await;
    control.build(id).await;
    control.settle().await;
    let newer = control.last_deployment(id).await;
    assert_eq!(newer.state.name(), "succeeded");
    let State::Superseded { by, .. } = control.deployment(older).await.state else { panic!("another end") };
    assert_eq!(by, newer.id);
    let tasks = control.world.store.read(move |view| view.list_tasks(id)).await.unwrap();
    assert!(tasks.iter().all(|task| task.release == newer.release), "{tasks:?}");
    let state = outside.edge.state.lock().unwrap();
    assert_eq!((state.served.as_slice(), state.outages), ([FIRST, newer.release].as_slice(), 0));
}

#[tokio::test]
async fn a_newer_deployment_waits_for_one_that_has_switched() {
    let (outside, control, id) = switching().await;
    let older = control.last_deployment(id).await.id;
    let newer = control.request(id, FIRST, Kind::Rollback).await;
    control.activate().await;
    assert_eq!(control.deployment(older).await.state.name(), "switching");
    assert_eq!(control.deployment(newer.id).await.state.name(), "pending");
    outside.edge.state.lock().unwrap().public = None;
    control.settle().await;
    assert_eq!(control.deployment(older).await.state.name(), "succeeded");
    assert_eq!(control.deployment(newer.id).await.state.name(), "succeeded");
    let state = outside.edge.state.lock().unwrap();
    assert_eq!((state.answering(), state.outages), (vec![FIRST], 0));
}
