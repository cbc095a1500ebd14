//! Pipelines: lists, one, again, and a stop.

use havre_core::build::State as BuildState;
use havre_core::event::Actor;
use havre_core::pipeline::{Cause, Pipeline, State};
use havre_store::NewPipeline;
use serde_json::{Value, json};

use crate::world::{World, site};

async fn pipeline(world: &World) -> Pipeline {
    world
        .write(|tx| {
            tx.create_pipeline(NewPipeline {
                project: "dropit".parse().expect("is a name"),
                environment: "production".parse().expect("is a name"),
                reference: "refs/heads/main".parse().expect("is a ref"),
                commit: "a".repeat(40).parse().expect("is a commit"),
                subject: "Say hello".to_owned(),
                author: "Ada".to_owned(),
                cause: Cause::Push { by: Actor::Local },
            })
        })
        .await
}

#[tokio::test]
async fn lists_and_one() {
    let world = World::new();
    let list = "/v1/projects/dropit/pipelines";
    assert_eq!(world.get(list).await, (200, json!({ "pipelines": [] })));
    pipeline(&world).await;
    let expected = json!({
        "id": "i1", "project": "dropit", "environment": "production", "reference": "refs/heads/main",
        "commit": "a".repeat(40), "subject": "Say hello", "author": "Ada",
        "cause": { "kind": "push", "by": { "kind": "local" } }, "state": { "state": "queued" },
        "stages": [], "parts": [], "untouched": [],
        "created_at": "2026-11-24T10:00:00.000Z",
    });
    assert_eq!(world.get("/v1/pipelines/i1").await, (200, expected.clone()));
    assert_eq!(world.get(list).await, (200, json!({ "pipelines": [expected] })));
    let (status, body) = world.get("/v1/pipelines/i9").await;
    assert_eq!((status, &body["code"]), (404, &json!("pipeline_not_found")));
    assert_eq!(world.get("/v1/pipelines/9").await.0, 400);
}

#[tokio::test]
async fn again() {
    let world = World::new();
    pipeline(&world).await;
    let (status, body) = world.ask("POST", "/v1/pipelines/i1/rerun", Value::Null).await;
    assert_eq!((status, &body["id"], &body["commit"]), (202, &json!("i2"), &json!("a".repeat(40))));
    assert_eq!(body["cause"], json!({ "kind": "rerun", "of": "i1", "by": { "kind": "local" } }));
}

#[tokio::test]
async fn a_stop_takes_its_builds_along() {
    let world = World::new();
    assert_eq!(world.apply(&[site("web", "a.example.org")]).await.0, 200);
    let row = pipeline(&world).await;
    let service = world.service("web").await;
    let build = world
        .write(move |tx| {
            let build = tx.create_pipeline_build(&row, &service)?;
            let building = State::Building { since: tx.at() };
            tx.set_pipeline_state(row.id, &State::Queued, building)?;
            Ok(build.id)
        })
        .await;
    let (status, body) = world.ask("POST", "/v1/pipelines/i1/cancel", Value::Null).await;
    assert_eq!((status, &body["state"]["state"]), (202, &json!("cancelled")), "{body}");
    assert_eq!(body["parts"][0]["build_state"], json!("cancelled"));
    let build = world.store.read(move |view| view.get_build(build)).await.expect("a read");
    assert!(matches!(build.state, BuildState::Cancelled { .. }));
    let (status, body) = world.ask("POST", "/v1/pipelines/i1/cancel", Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("already_over")));
}
