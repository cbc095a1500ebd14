//! Volumes: which of them may be saved, what comes back, and into what; and never into one that is there.

use std::collections::BTreeMap;

use havre_core::backup::Content;
use havre_core::backup::manifest::Manifest;
use havre_core::backup::run::Progress;
use havre_core::backup::state::{About, State};
use havre_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, START, World, tasks};

fn of_volume(rest: &str) -> String {
    format!("{ENVIRONMENT}/services/api/volumes/uploads/{rest}")
}

fn api(backup: Value) -> Value {
    let mut api = tasks("api", "api.example");
    api["work"]["replicas"] = json!(1);
    api["work"]["volumes"] = json!([{ "name": "uploads", "path": "/uploads" }]);
    if !backup.is_null() {
        api["work"]["volumes"][0]["backup"] = backup;
    }
    api
}

/// A service that runs, and a target.
async fn deployed(backup: Value) -> World {
    let world = World::new();
    let target = json!({ "location": { "kind": "folder", "path": "/mnt/two/havre" }, "medium": "disk-two" });
    let (status, body) = world.ask("PUT", "/v1/backup-targets/disk-two", target).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = world.apply(&[api(backup)]).await;
    assert_eq!(status, 200, "{body}");
    world.deploy("api").await;
    world
}

async fn save(world: &World) {
    let at = Timestamp::from_millis(START - 3_600_000);
    let about = About {
        what: "volume/dropit/production/api/uploads".parse().expect("is one"),
        source_version: "volume (plain)".to_owned(),
        rows: BTreeMap::from([("files".to_owned(), 6), ("folders".to_owned(), 1)]),
        repository: "b".repeat(64).parse().expect("is one"),
        started_at: at,
    };
    let content = Content { bytes: 1536, sha256: "a".repeat(64).parse().expect("is one") };
    let manifest = Manifest::new(&about, &content, &"1".repeat(64).parse().expect("is one"), at);
    world
        .write(move |tx| {
            let run = tx.create_backup_run(&manifest.what, &"disk-two".parse().expect("is one"))?;
            let run = tx.begin_backup_run(run.id)?;
            let good = State::Good { at: manifest.verified_at, manifest: Box::new(manifest) };
            tx.record_backup_state(run.id, &run.state, &good, Progress::default())
        })
        .await;
}

#[tokio::test]
async fn a_volume_is_saved_when_it_is_asked_for() {
    let world = deployed(Value::Null).await;
    let ask = |volume: &str| json!({ "what": { "kind": "volume", "project": "dropit", "environment": "production", "service": "api", "volume": volume } });
    let (status, body) = world.ask("POST", "/v1/backup-runs", ask("uploads")).await;
    assert_eq!(
        (status, &body["runs"][0]["name"]),
        (202, &json!("volume uploads of dropit/production/api")),
        "{body}"
    );
    let (status, body) = world.ask("POST", "/v1/backup-runs", ask("other")).await;
    assert_eq!((status, &body["code"]), (422, &json!("backup_unsupported")), "{body}");
    let (_, body) = world.get("/v1/backup-status").await;
    let accounts = body["accounts"].as_array().expect("is a list");
    let volume = accounts.iter().find(|account| account["what"]["kind"] == "volume").expect("it is shown");
    assert_eq!(
        (&volume["policy"], volume["gaps"].as_array().map(Vec::len)),
        (&Value::Null, Some(0)),
        "{volume}"
    );
}

#[tokio::test]
async fn what_no_volume_can_have_is_refused() {
    let world = World::new();
    let policy = json!({ "every": "1m", "keep": { "last": 3 }, "drill": "7d" });
    let (status, body) = world.apply(&[api(json!({ "mode": "plain", "policy": policy }))]).await;
    assert_eq!((status, &body["code"]), (422, &json!("spec_invalid")), "{body}");
    assert_eq!(body["details"]["broken"].as_array().map(Vec::len), Some(2), "{body}");
}

#[tokio::test]
async fn what_has_a_policy_is_among_everything() {
    let world =
        deployed(json!({ "mode": "pause", "policy": { "every": "6h", "keep": { "last": 3 } } })).await;
    let (status, body) = world.ask("POST", "/v1/backup-runs", json!({})).await;
    let names: Vec<&str> =
        body["runs"].as_array().expect("is a list").iter().filter_map(|run| run["name"].as_str()).collect();
    assert_eq!((status, names), (202, vec!["platform", "volume uploads of dropit/production/api"]));
}

#[tokio::test]
async fn a_snapshot_becomes_a_new_volume() {
    let world = deployed(Value::Null).await;
    let (status, body) = world.ask("POST", &of_volume("restores"), json!({})).await;
    assert_eq!((status, &body["code"]), (404, &json!("snapshot_not_found")), "{body}");
    save(&world).await;
    let (_, body) = world.get(&of_volume("points")).await;
    assert_eq!(
        (&body["points"][0]["rows"], &body["points"][0]["bytes"]),
        (&json!(7), &json!(1536)),
        "{body}"
    );
    let (status, body) = world.ask("POST", &of_volume("restores"), json!({ "dry_run": true })).await;
    assert_eq!((status, &body["volume"]), (200, &json!("uploads-restored-1")), "{body}");
    let (status, body) = world.ask("POST", &of_volume("restores"), json!({ "name": "uploads" })).await;
    assert_eq!((status, &body["code"]), (409, &json!("name_taken")), "{body}");
    let (status, body) = world.ask("POST", &of_volume("restores"), json!({})).await;
    assert_eq!((status, &body["restore"]["id"]), (202, &json!("f1")), "{body}");
    let (status, body) = world.get("/v1/volume-restores/f1").await;
    assert_eq!(
        (status, &body["status"], &body["is_final"]),
        (200, &json!("waiting"), &json!(false)),
        "{body}"
    );
    let (_, body) = world.get(&of_volume("restores")).await;
    assert_eq!(body["restores"].as_array().map(Vec::len), Some(1));
    // The next one has another name, and what is made goes with the service.
    let (_, body) = world.ask("POST", &of_volume("restores"), json!({ "dry_run": true })).await;
    assert_eq!(body["volume"], "uploads-restored-2");
    let (_, body) =
        world.ask("DELETE", &format!("{ENVIRONMENT}/services/api?dry_run=true"), Value::Null).await;
    assert_eq!(body["services"][0]["volumes"], json!(["uploads", "uploads-restored-1"]), "{body}");
    let (status, body) = world.get("/v1/volume-restores/f9").await;
    assert_eq!((status, &body["code"]), (404, &json!("restore_not_found")), "{body}");
}
