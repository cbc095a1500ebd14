//! Copies of databases: asked for with their rules, read and cancelled; what speaks against one is told before anything is recorded.

use havre_core::copy::state::{FailureReason, State};
use havre_core::id::CopyId;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, World};

const STAGING: &str = "/v1/projects/dropit/environments/staging";
const RULES: &str = "[tables.\"public.users\".columns]\nemail = \"email\"\n";

fn db(version: u8) -> Value {
    json!({ "name": "db", "engine": "postgres", "version": version, "memory": "512MB", "cpus": "1" })
}

/// The same database in production and in staging, of these versions.
async fn both(production: u8, staging: u8) -> World {
    let world = World::new();
    for (environment, version) in [(ENVIRONMENT, production), (STAGING, staging)] {
        let body = json!({ "services": [], "databases": [db(version)] });
        let (status, body) = world.ask("PUT", environment, body).await;
        assert_eq!(status, 200, "{body}");
    }
    world
}

async fn copy(world: &World, body: Value) -> (u16, Value) {
    world.ask("POST", &format!("{STAGING}/databases/db/copies"), body).await
}

fn wire() -> Value {
    let at = "2026-11-24T10:00:00.000Z";
    json!({
        "id": "q1", "origin": { "from": "database", "id": "m1", "environment": "production" },
        "place": { "project": "dropit", "environment": "staging", "service": "db" }, "masked": true, "drop_old": false,
        "before": null, "beside": null, "attempt": 0, "state": { "state": "waiting", "since": at }, "is_final": false,
        "failure": "", "waiting": "", "cancel_requested": false, "ended_at": null, "created_at": at,
    })
}

#[tokio::test]
async fn it_is_asked_for_read_and_cancelled() {
    let world = both(16, 16).await;
    let body = json!({ "from": "production", "policy": RULES, "dry_run": true });
    let (status, body) = copy(&world, body).await;
    assert_eq!((status, &body["copy"]), (200, &Value::Null), "{body}");
    let said = "services that use dropit/staging/db lose their connections for some seconds when the copy takes its place";
    assert_eq!(body["warnings"], json!([said]));

    let (status, body) = copy(&world, json!({ "from": "production", "policy": RULES })).await;
    assert_eq!((status, &body["copy"]), (202, &wire()), "{body}");
    assert_eq!(
        world.get(&format!("{STAGING}/databases/db/copies")).await,
        (200, json!({ "copies": [wire()] }))
    );
    assert_eq!(world.get("/v1/copies/q1").await, (200, wire()));
    let (status, body) = copy(&world, json!({ "from": "production", "policy": RULES })).await;
    assert_eq!((status, &body["code"]), (409, &json!("copy_running")), "{body}");

    let (status, body) = world.ask("POST", "/v1/copies/q1/cancel", Value::Null).await;
    assert_eq!((status, &body["cancel_requested"]), (202, &json!(true)));
    world
        .write(|tx| {
            let id = CopyId::new(1);
            let from = tx.get_copy(id)?.state;
            let at = tx.at();
            tx.set_copy_state(id, &from, State::Failed { at, reason: FailureReason::Gone })
        })
        .await;
    let (status, body) = world.ask("POST", "/v1/copies/q1/cancel", Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("already_over")), "{body}");
    let (_, body) = world.get("/v1/copies/q1").await;
    assert_eq!(body["failure"], "a database it is about is gone or going");
    let (status, body) = world.get("/v1/copies/q9").await;
    assert_eq!((status, &body["code"]), (404, &json!("copy_not_found")), "{body}");
}

#[tokio::test]
async fn what_speaks_against_it_is_told_before_anything_is_recorded() {
    let world = both(16, 16).await;
    let says = async |body: Value, status: u16, code: &str, said: &str| {
        let (found, body) = copy(&world, body).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{body}");
        assert!(body["message"].as_str().expect("text").contains(said), "{body}");
    };
    says(json!({ "from": "production" }), 422, "copy_refused", "needs `privacy.toml`").await;
    says(json!({ "from": "staging", "policy": RULES }), 422, "copy_refused", "onto itself").await;
    says(json!({ "from": "test", "policy": RULES }), 404, "environment_not_found", "test").await;
    let wrong = RULES.replace("\"email\"\n", "\"blur\"\n");
    says(json!({ "from": "production", "policy": wrong }), 422, "policy_invalid", "line 2").await;
    says(json!({ "from": "production", "mask": RULES }), 400, "body_invalid", "mask").await;
    assert_eq!(world.get(&format!("{STAGING}/databases/db/copies")).await, (200, json!({ "copies": [] })));

    let (status, body) = copy(&world, json!({ "from": "production", "unmasked": true })).await;
    assert_eq!((status, &body["copy"]["masked"]), (202, &json!(false)), "{body}");
    assert!(
        body["warnings"].as_array().expect("a list").contains(&json!("personal data is copied as it is"))
    );

    let world = both(17, 16).await;
    let (status, body) = copy(&world, json!({ "from": "production", "policy": RULES })).await;
    assert_eq!((status, &body["code"]), (422, &json!("copy_refused")), "{body}");
    assert!(body["message"].as_str().expect("text").contains("of PostgreSQL 17, newer than 16"), "{body}");
}

#[tokio::test]
async fn production_is_replaced_only_when_its_name_is_said_again_and_never_dropped() {
    let world = both(16, 16).await;
    let path = format!("{ENVIRONMENT}/databases/db/copies");
    let (status, body) = world.ask("POST", &path, json!({ "from": "staging" })).await;
    assert_eq!((status, &body["code"]), (400, &json!("confirm_missing")), "{body}");
    let drops = json!({ "from": "staging", "confirm": "db", "drop_old": true });
    let (status, body) = world.ask("POST", &path, drops).await;
    assert_eq!((status, &body["code"]), (422, &json!("copy_refused")), "{body}");
    let (status, body) = world.ask("POST", &path, json!({ "from": "staging", "confirm": "db" })).await;
    assert_eq!(status, 202, "{body}");
}
