//! Swaps and upgrades: asked for with their rules, read and cancelled; what is swapped is left alone meanwhile.

use havre_core::backup::target::TargetSpec;
use havre_core::database::state::State;
use havre_core::id::{DatabaseId, SwapId};
use havre_core::time::Timestamp;
use havre_decide::swap::plan::Next;
use havre_decide::swap::state::State as SwapState;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, START, World};

fn spec(name: &str, engine: &str, version: u8) -> Value {
    json!({ "name": name, "engine": engine, "version": version, "memory": "512MB", "cpus": "1" })
}

/// Databases `db`, `db-restored-1` and `cache`, all of them ready.
async fn databases() -> World {
    let world = World::new();
    let all = [spec("cache", "redis", 7), spec("db", "postgres", 15), spec("db-restored-1", "postgres", 15)];
    let (status, body) = world.ask("PUT", ENVIRONMENT, json!({ "services": [], "databases": all })).await;
    assert_eq!(status, 200, "{body}");
    world
        .write(|tx| {
            for row in tx.list_databases()? {
                let since = Timestamp::from_millis(START);
                tx.set_database_state(row.id, &row.state, State::Ready { since })?;
            }
            Ok(())
        })
        .await;
    world
}

async fn swap(world: &World, body: Value) -> (u16, Value) {
    world.ask("POST", &format!("{ENVIRONMENT}/databases/db/swaps"), body).await
}

fn wire() -> Value {
    json!({
        "id": "w1", "place": { "project": "dropit", "environment": "production", "service": "db" },
        "other": "db-restored-1", "aside": "db-before-20261124", "version": null, "status": "closing", "is_final": false,
        "failure": "", "waiting": "", "cancel_requested": false, "ended_at": null, "created_at": "2026-11-24T10:00:00.000Z",
    })
}

#[tokio::test]
async fn it_is_asked_for_read_and_cancelled() {
    let world = databases().await;
    let (status, body) = swap(&world, json!({ "with": "db-restored-1", "dry_run": true })).await;
    assert_eq!((status, &body["swap"]), (200, &Value::Null), "{body}");
    assert_eq!(body["warnings"].as_array().expect("a list").len(), 2, "{body}");
    let (status, body) = swap(&world, json!({ "with": "db-restored-1" })).await;
    assert_eq!((status, &body["code"]), (400, &json!("confirm_missing")), "{body}");
    let (status, body) = swap(&world, json!({ "with": "db-restored-1", "confirm": "db" })).await;
    assert_eq!((status, &body["swap"]), (202, &wire()), "{body}");
    assert_eq!(world.get("/v1/swaps/w1").await, (200, wire()));
    for name in ["db", "db-restored-1"] {
        let path = format!("{ENVIRONMENT}/databases/{name}/swaps");
        assert_eq!(world.get(&path).await, (200, json!({ "swaps": [wire()] })), "{name}");
    }
    assert_eq!(
        world.get(&format!("{ENVIRONMENT}/databases/cache/swaps")).await,
        (200, json!({ "swaps": [] }))
    );

    for (method, path) in [
        ("POST", "databases/db/rotate"),
        ("DELETE", "databases/db-restored-1?confirm=db-restored-1"),
        ("GET", "databases/db/tunnel"),
    ] {
        let (status, body) = world.ask(method, &format!("{ENVIRONMENT}/{path}"), Value::Null).await;
        // Who does not even speak WebSocket is told that first.
        let code = if method == "GET" { "body_invalid" } else { "swap_running" };
        assert_eq!(body["code"], json!(code), "{method} {path}: {status} {body}");
    }
    let (status, body) = swap(&world, json!({ "with": "db-restored-1", "confirm": "db" })).await;
    assert_eq!((status, &body["code"]), (409, &json!("swap_running")), "{body}");

    let (status, body) = world.ask("POST", "/v1/swaps/w1/cancel", Value::Null).await;
    assert_eq!((status, &body["cancel_requested"]), (202, &json!(true)), "{body}");
    world
        .write(|tx| {
            let row = tx.get_swap(SwapId::new(1))?;
            let since = Timestamp::from_millis(START);
            tx.advance_swap(row.id, &row.state, &Next::State(SwapState::Stopping { since }))
        })
        .await;
    let (status, body) = world.ask("POST", "/v1/swaps/w1/cancel", Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("already_over")), "{body}");
    let (status, body) = world.get("/v1/swaps/w9").await;
    assert_eq!((status, &body["code"]), (404, &json!("swap_not_found")), "{body}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = databases().await;
    for (body, status, code) in [
        (json!({}), 400, "body_invalid"),
        (json!({ "with": "db-restored-1", "version": 16 }), 400, "body_invalid"),
        (json!({ "with": "nothing" }), 404, "database_not_found"),
        (json!({ "with": "db" }), 422, "spec_invalid"),
        (json!({ "with": "cache" }), 422, "spec_invalid"),
        (json!({ "version": 15 }), 422, "spec_invalid"),
        (json!({ "version": 99 }), 422, "spec_invalid"),
        (json!({ "version": 16 }), 409, "no_backup_target"),
        (json!({ "version": 16, "target": "disk" }), 404, "backup_target_not_found"),
    ] {
        let mut asked = body.clone();
        asked["confirm"] = json!("db");
        let (found, answer) = swap(&world, asked).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{body}: {answer}");
    }
    let row = world.write(|tx| tx.get_database(DatabaseId::new(2))).await;
    world.write(move |tx| tx.add_database_role(&row, &"api".parse().expect("a name")).map(|_| ())).await;
    let (status, body) = swap(&world, json!({ "with": "db-restored-1", "dry_run": true })).await;
    assert_eq!((status, &body["code"]), (409, &json!("rotation_running")), "{body}");
}

#[tokio::test]
async fn an_upgrade_says_what_it_costs() {
    let world = databases().await;
    let target: TargetSpec = serde_json::from_value(json!({
        "name": "disk", "location": { "kind": "folder", "path": "/mnt/disk" }, "medium": "two", "is_offsite": false,
    }))
    .expect("a target");
    world.write(move |tx| tx.set_backup_target(&target, None).map(drop)).await;
    let (status, body) = swap(&world, json!({ "version": 17, "confirm": "db" })).await;
    assert_eq!((status, &body["swap"]["version"]), (202, &json!(17)), "{body}");
    assert_eq!(body["swap"]["other"], "db-upgrade-17");
    let said = body["warnings"][0].as_str().expect("text");
    assert!(said.starts_with("services can neither read nor write db while it is saved to disk"), "{said}");
}
