//! Backups: targets that are handled on the machine only, a kit that is shown once, runs that are asked for, and what is missing.

use havre_core::backup::run::Progress;
use havre_core::backup::state::{Failure, Stage, State};
use havre_core::id::BackupRunId;
use havre_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, START, World};

const TARGETS: &str = "/v1/backup-targets";
const RUNS: &str = "/v1/backup-runs";
const AT: &str = "2026-11-24T10:00:00.000Z";

fn folder() -> Value {
    json!({ "location": { "kind": "folder", "path": "/mnt/two/havre" }, "medium": "disk-two" })
}

fn bucket(credential: Option<&str>) -> Value {
    let mut body = json!({
        "location": { "kind": "s3", "endpoint": "https://s3.example.org", "bucket": "backups", "region": "eu-west-3",
            "path_style": false },
        "medium": "bucket", "is_offsite": true,
    });
    if let Some(credential) = credential {
        body["credential"] = json!(credential);
    }
    body
}

async fn with_target() -> World {
    let world = World::new();
    let (status, body) = world.ask("PUT", &format!("{TARGETS}/disk-two"), folder()).await;
    assert_eq!(status, 200, "{body}");
    world
}

async fn with_database(world: &World, backup: Value) {
    let db = json!({
        "name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1", "backup": backup,
    });
    let (status, body) = world.ask("PUT", ENVIRONMENT, json!({ "services": [], "databases": [db] })).await;
    assert_eq!(status, 200, "{body}");
}

fn database() -> Value {
    json!({ "kind": "database", "project": "dropit", "environment": "production", "database": "db" })
}

fn daily() -> Value {
    json!({ "every": "1d", "keep": { "daily": 7 } })
}

#[tokio::test]
async fn targets_are_set_and_listed_without_secrets() {
    let world = with_target().await;
    let shown = json!({
        "name": "disk-two", "location": { "kind": "folder", "path": "/mnt/two/havre" }, "address": "/mnt/two/havre",
        "medium": "disk-two", "is_offsite": false, "has_credential": false, "state": { "state": "waiting" }, "created_at": AT,
    });
    assert_eq!(world.get(TARGETS).await, (200, json!({ "targets": [shown] })));
    let path = format!("{TARGETS}/bucket");
    let (status, body) = world.ask("PUT", &path, bucket(None)).await;
    assert_eq!((status, &body["code"]), (422, &json!("backup_target_invalid")), "{body}");
    let (status, body) = world.ask("PUT", &path, bucket(Some("planted-one-line"))).await;
    assert_eq!((status, &body["code"]), (422, &json!("backup_target_invalid")), "{body}");
    assert!(!body.to_string().contains("planted"), "{body}");
    let (status, body) = world.ask("PUT", &path, bucket(Some("AKIA\nplanted-key"))).await;
    assert_eq!((status, &body["has_credential"]), (200, &json!(true)), "{body}");
    let (status, _) = world.ask("PUT", &path, bucket(None)).await;
    assert_eq!(status, 200, "the credential it has stays");
    let (_, list) = world.get(TARGETS).await;
    assert_eq!(list["targets"][0]["address"], "s3:https://s3.example.org/backups");
    let events = world.write(|tx| tx.events(0, None, 100)).await;
    for text in [list.to_string(), serde_json::to_string(&events).unwrap()] {
        assert!(!text.contains("planted"), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_target_is_refused() {
    let world = with_target().await;
    let mut root = folder();
    root["location"]["path"] = json!("/");
    let mut keyed = folder();
    keyed["credential"] = json!("planted");
    for (name, body, status, code) in [
        ("live", folder(), 422, "backup_target_invalid"),
        ("two", root, 422, "backup_target_invalid"),
        ("two", keyed, 422, "backup_target_invalid"),
        ("T%20wo", folder(), 400, "name_invalid"),
        ("two", json!({ "location": { "kind": "tape" }, "medium": "tape" }), 400, "body_invalid"),
    ] {
        let (found, answer) = world.ask("PUT", &format!("{TARGETS}/{name}"), body).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{answer}");
        assert!(!answer.to_string().contains("planted"), "{answer}");
    }
    let mut moved = folder();
    moved["location"]["path"] = json!("/mnt/three");
    let (status, body) = world.ask("PUT", &format!("{TARGETS}/disk-two"), moved).await;
    assert_eq!((status, &body["code"]), (409, &json!("backup_target_elsewhere")), "{body}");
    let (status, body) = world.ask("DELETE", &format!("{TARGETS}/other"), Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("backup_target_not_found")), "{body}");
}

#[tokio::test]
async fn a_kit_opens_the_repository_and_is_shown_once() {
    let world = with_target().await;
    let path = format!("{TARGETS}/disk-two/kit");
    let (status, body) = world.ask("POST", &path, Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("no_backup_repository")), "{body}");
    let id: havre_core::backup::RepositoryId = "b".repeat(64).parse().unwrap();
    world.write(move |tx| tx.record_repository(&"disk-two".parse().unwrap(), &id)).await;
    let (_, status) = world.get("/v1/backup-status").await;
    let gap = "disk-two: nobody has its recovery kit, and without this machine nothing there can be read";
    assert_eq!(status["gaps"], json!([gap]));
    let (status, body) = world.ask("DELETE", &format!("{TARGETS}/disk-two"), Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("backup_target_in_use")), "{body}");

    let (status, kit) = world.ask("POST", &path, Value::Null).await;
    assert_eq!((status, &kit["target"]), (200, &json!("disk-two")));
    let open = world.write(|tx| tx.open_backup_target(&"disk-two".parse().unwrap())).await;
    let password = open.password.expose_text().unwrap().to_owned();
    let page = kit["page"].as_str().unwrap();
    assert!(page.contains(&password) && page.contains("export RESTIC_REPOSITORY=/mnt/two/havre"), "{page}");
    let (status, body) = world.ask("POST", &path, Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("kit_shown")), "{body}");
    let (status, again) = world.ask("POST", &format!("{path}?again=true"), Value::Null).await;
    assert_eq!((status, &again["page"]), (200, &kit["page"]));
    assert_eq!(world.get(TARGETS).await.1["targets"][0]["kit_shown_at"], AT);
    let events = world.write(|tx| tx.events(0, None, 100)).await;
    assert!(!serde_json::to_string(&events).unwrap().contains(&password));
    let last = events.last().map(|event| event.kind.to_string());
    assert_eq!(last.as_deref(), Some("recovery kit of the backup target disk-two shown once more"));
    assert_eq!(world.ask("DELETE", &format!("{TARGETS}/disk-two"), Value::Null).await.0, 204);
}

#[tokio::test]
async fn runs_are_asked_for_listed_and_cancelled() {
    let world = with_target().await;
    with_database(&world, daily()).await;
    let (status, body) = world.ask("POST", RUNS, json!({ "what": database() })).await;
    let run = json!({
        "id": "u1", "what": database(), "name": "database dropit/production/db", "target": "disk-two",
        "state": { "state": "dumping", "since": AT }, "status": "waiting", "is_final": false, "failure": "",
        "asked_by": { "kind": "local" }, "produced_bytes": 0, "added_bytes": 0, "snapshot": null, "manifest": null,
        "cancel_requested": false, "created_at": AT, "begun_at": null, "ended_at": null, "forgotten_at": null,
    });
    assert_eq!((status, &body), (202, &json!({ "runs": [run] })));
    let (status, body) = world.ask("POST", RUNS, json!({ "what": database() })).await;
    assert_eq!((status, &body["code"]), (409, &json!("backup_running")), "{body}");
    let (status, body) = world.ask("POST", RUNS, Value::Null).await;
    let names: Vec<&Value> = body["runs"].as_array().unwrap().iter().map(|run| &run["name"]).collect();
    assert_eq!((status, names), (202, vec![&json!("platform"), &json!("database dropit/production/db")]));

    let ids = |body: &Value| -> Vec<String> {
        let runs = body["runs"].as_array().unwrap();
        runs.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&world.get(RUNS).await.1), ["u2", "u1"]);
    assert_eq!(ids(&world.get(&format!("{RUNS}?what=platform&limit=5")).await.1), ["u2"]);
    assert_eq!(ids(&world.get(&format!("{RUNS}?target=disk-two&state=good")).await.1), Vec::<String>::new());
    let (status, body) = world.get(&format!("{RUNS}?what=tape")).await;
    assert_eq!((status, &body["code"]), (400, &json!("query_invalid")), "{body}");
    let (status, body) = world.get(&format!("{RUNS}/u9")).await;
    assert_eq!((status, &body["code"]), (404, &json!("backup_run_not_found")), "{body}");

    let (status, body) = world.ask("POST", &format!("{RUNS}/u1/cancel"), Value::Null).await;
    assert_eq!((status, &body["cancel_requested"]), (202, &json!(true)), "{body}");
    end(&world, 1, State::Failed { at: start(), stage: Stage::Dumping, reason: Failure::Cancelled }).await;
    let (_, body) = world.get(&format!("{RUNS}/u1")).await;
    assert_eq!((&body["status"], &body["failure"]), (&json!("failed"), &json!("it was cancelled")));
    let (status, body) = world.ask("POST", &format!("{RUNS}/u1/cancel"), Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("already_over")), "{body}");
    assert_eq!(body["message"], "u1 is over already: it is failed");
}

fn start() -> Timestamp {
    Timestamp::from_millis(START)
}

/// A run begins and ends like this.
async fn end(world: &World, id: i64, to: State) {
    let id = BackupRunId::new(id);
    let begun = world.write(move |tx| tx.begin_backup_run(id)).await;
    world.write(move |tx| tx.record_backup_state(id, &begun.state, &to, Progress::default())).await;
}

#[tokio::test]
async fn what_cannot_be_saved_is_refused() {
    let world = World::new();
    let (status, body) = world.ask("POST", RUNS, Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("no_backup_target")), "{body}");
    let world = with_target().await;
    with_database(&world, Value::Null).await;
    let mut other = database();
    other["database"] = json!("bd");
    let volume = json!({ "kind": "volume", "project": "dropit", "environment": "production", "service": "api", "volume": "data" });
    for (body, status, code) in [
        (json!({ "what": other }), 404, "database_not_found"),
        (json!({ "what": volume }), 404, "service_not_found"),
        (json!({ "what": database(), "target": "bucket" }), 404, "backup_target_not_found"),
    ] {
        let (found, answer) = world.ask("POST", RUNS, body).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{answer}");
    }
    let (status, _) = world.ask("POST", RUNS, json!({ "what": database(), "target": "disk-two" })).await;
    assert_eq!(status, 202, "by hand also without a policy");
}

#[tokio::test]
async fn the_status_measures_and_says_what_is_missing() {
    let world = World::new();
    let (_, body) = world.get("/v1/backup-status").await;
    assert_eq!((&body["is_met"], &body["gaps"]), (&json!(false), &json!([])));
    assert_eq!(body["accounts"][0]["name"], "platform");
    assert_eq!(body["accounts"][0]["gaps"][0], "there is no backup target");

    let world = with_target().await;
    with_database(&world, daily()).await;
    world.ask("POST", RUNS, json!({ "what": database() })).await;
    let manifest = json!({
        "content": { "bytes": 10, "sha256": format!("sha256:{}", "a".repeat(64)) }, "form": 1, "repository": "b".repeat(64),
        "rows": {}, "snapshot": "1".repeat(64), "source_version": "PostgreSQL 16.14", "started_at": AT, "verified_at": AT,
        "what": database(),
    });
    let good = State::Good { at: start(), manifest: Box::new(serde_json::from_value(manifest).unwrap()) };
    end(&world, 1, good).await;
    world.clock.fetch_add(3_600_000, std::sync::atomic::Ordering::Relaxed);
    let (status, body) = world.get("/v1/backup-status").await;
    let account = &body["accounts"][1];
    assert_eq!((status, &account["name"]), (200, &json!("database dropit/production/db")), "{body}");
    assert_eq!(
        (&account["rpo_target_ms"], &account["rpo_measured_ms"]),
        (&json!(90_000_000), &json!(3_600_000))
    );
    assert_eq!(
        account["copies"],
        json!([
            { "target": "live", "medium": "disk", "is_offsite": false, "standing": "current", "age_ms": 0, "run": null,
              "next_at": null },
            { "target": "disk-two", "medium": "disk-two", "is_offsite": false, "standing": "current", "age_ms": 3_600_000,
              "run": "u1", "next_at": "2026-11-25T10:00:00.000Z" },
        ])
    );
    assert_eq!(
        account["gaps"],
        json!([
            "copies: 2 of 3, the live data included",
            "off-site: 0 of 1; a fire or a lost account here would take every copy",
        ])
    );

    with_database(&world, Value::Null).await;
    let (_, body) = world.get("/v1/backup-status").await;
    let account = &body["accounts"][1];
    assert_eq!(
        (&account["policy"], &account["gaps"]),
        (&Value::Null, &json!([])),
        "havre.toml says that there are none"
    );
}

#[tokio::test]
async fn the_check_says_what_somebody_has_to_look_at() {
    let world = World::new();
    let (status, body) = world.get("/v1/backup-check").await;
    assert_eq!(status, 200, "{body}");
    let none = json!({
        "subject": "target", "what": null, "target": null, "reason": "there is no backup target, so nothing is saved",
    });
    assert_eq!(body["problems"], json!([none]));

    let world = with_target().await;
    with_database(&world, daily()).await;
    let (_, body) = world.get("/v1/backup-check").await;
    assert_eq!(body["problems"], json!([]), "nothing is late yet");
    world.clock.fetch_add(2 * 86_400_000, std::sync::atomic::Ordering::Relaxed);
    let (_, body) = world.get("/v1/backup-check").await;
    let late: Vec<_> =
        body["problems"].as_array().unwrap().iter().map(|one| (&one["subject"], &one["what"])).collect();
    let platform = json!({ "kind": "platform" });
    let copy = json!("copy");
    assert_eq!(late, [(&copy, &platform), (&copy, &database())], "{body}");
}
