//! Restores and drills: a snapshot becomes a new database and never one that is there, its bytes come out whole or not at all, and a report
//! says whether somebody has changed it.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use havre_core::backup::Content;
use havre_core::backup::manifest::Manifest;
use havre_core::backup::run::Progress;
use havre_core::backup::state::{About, State};
use havre_core::id::DrillId;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_rescue::drill::{State as DrillState, Verdict};
use havre_rescue::line::BaseFacts;
use havre_rescue::proof::Findings;
use havre_rescue::wal::{Lsn, Segment};
use havre_store::NewStretch;
use havre_web::restore::streams::SnapshotError;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, START, World, send};

const CONTENT: &[u8] = b"PGDMP and the rest";

fn manifest(hours: i64, digit: char, version: &str) -> Manifest {
    let at = Timestamp::from_millis(START - hours * 3_600_000);
    let about = About {
        what: "database/dropit/production/db".parse().expect("is one"),
        source_version: version.to_owned(),
        rows: BTreeMap::from([("public.users".to_owned(), 2), ("public.orders".to_owned(), 5)]),
        repository: "b".repeat(64).parse().expect("is one"),
        started_at: at,
    };
    let content = Content { bytes: CONTENT.len() as u64, sha256: "a".repeat(64).parse().expect("is one") };
    Manifest::new(&about, &content, &digit.to_string().repeat(64).parse().expect("is one"), at)
}

/// A good run, as the loop records it.
async fn save(world: &World, manifest: Manifest) {
    world
        .write(move |tx| {
            let target = "disk-two".parse().expect("is one");
            let run = tx.create_backup_run(&manifest.what, &target)?;
            let run = tx.begin_backup_run(run.id)?;
            let good = State::Good { at: manifest.verified_at, manifest: Box::new(manifest) };
            tx.record_backup_state(run.id, &run.state, &good, Progress::default())
        })
        .await;
}

/// A database, a target, and two backups: of two hours ago, and of an hour ago.
async fn saved() -> World {
    let world = World::new();
    let target = json!({ "location": { "kind": "folder", "path": "/mnt/two/havre" }, "medium": "disk-two" });
    let (status, body) = world.ask("PUT", "/v1/backup-targets/disk-two", target).await;
    assert_eq!(status, 200, "{body}");
    let db = json!({"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"});
    let (status, body) = world.ask("PUT", ENVIRONMENT, json!({ "services": [], "databases": [db] })).await;
    assert_eq!(status, 200, "{body}");
    save(&world, manifest(2, '1', "PostgreSQL 16.14")).await;
    save(&world, manifest(1, '2', "PostgreSQL 16.14")).await;
    world
}

fn of_db(rest: &str) -> String {
    format!("{ENVIRONMENT}/databases/db/{rest}")
}

#[tokio::test]
async fn points_are_listed_newest_first() {
    let world = saved().await;
    let (status, body) = world.get(&of_db("points")).await;
    assert_eq!(status, 200, "{body}");
    let first = json!({
        "at": "2026-11-24T09:00:00.000Z", "snapshot": "2".repeat(64), "target": "disk-two", "run": "u2", "bytes": 18,
        "sha256": "a".repeat(64), "tables": 2, "rows": 7, "source_version": "PostgreSQL 16.14",
        "verified_at": "2026-11-24T09:00:00.000Z",
    });
    assert_eq!(body["points"][0], first);
    assert_eq!(body["points"][1]["run"], "u1");
    let (status, body) = world.get(&format!("{ENVIRONMENT}/databases/other/points")).await;
    assert_eq!((status, &body["code"]), (404, &json!("database_not_found")), "{body}");
}

/// A base backup of two hours ago, and WAL behind it of an hour.
async fn keep_wal(world: &World) {
    let hours = |hours: i64| Timestamp::from_millis(START - hours * 3_600_000);
    world
        .write(move |tx| {
            let database = tx.list_databases()?.remove(0).id;
            let what = "base/dropit/production/db".parse().expect("is one");
            let manifest = Manifest { what, started_at: hours(2), ..manifest(2, '3', "PostgreSQL 16.14") };
            let target: TargetName = "disk-two".parse().expect("is one");
            let run = tx.create_backup_run(&manifest.what, &target)?;
            let run = tx.begin_backup_run(run.id)?;
            let facts = BaseFacts { timeline: 1, start: Lsn(3 << 24), stop: Lsn((3 << 24) + 300) };
            tx.record_base_backup(run.id, database, facts)?;
            let good = State::Good { at: hours(2), manifest: Box::new(manifest) };
            tx.record_backup_state(run.id, &run.state, &good, Progress::default())?;
            tx.record_stretch(&NewStretch {
                what: "database/dropit/production/db".parse().expect("is one"),
                database,
                target,
                first: Segment { timeline: 1, number: 3 },
                last: 9,
                until: Some(Timestamp::from_millis(START + 3_600_000)),
                snapshot: "4".repeat(64).parse().expect("is one"),
                content: Content { bytes: 7, sha256: "b".repeat(64).parse().expect("is one") },
                replaces: None,
            })
        })
        .await;
}

#[tokio::test]
async fn a_second_of_the_line_comes_back_exactly() {
    let world = saved().await;
    keep_wal(&world).await;
    let (status, body) = world.get(&of_db("points")).await;
    assert_eq!(status, 200, "{body}");
    // The base backup is recorded by the clock of the store, which stands still here.
    let line = json!([{ "from": "2026-11-24T10:00:00.000Z", "until": "2026-11-24T11:00:00.000Z" }]);
    assert_eq!((&body["line"], body["points"].as_array().map(Vec::len)), (&line, Some(2)), "{body}");
    let at = "2026-11-24T10:30:00.123Z";
    let (status, made) = world.ask("POST", &of_db("restores"), json!({ "at": at })).await;
    assert_eq!(status, 202, "{made}");
    assert_eq!((&made["point"]["at"], &made["restore"]["at"]), (&json!(at), &json!(at)));
    assert_eq!(
        (&made["point"]["snapshot"], &made["server"]),
        (&json!("3".repeat(64)), &json!("postgres 16"))
    );
    let (_, listed) = world.get(&of_db("restores")).await;
    assert_eq!(listed["restores"][0]["id"], made["restore"]["id"], "it is one of the database");
    // Behind the end nothing is known; before the line, the dump of then is what there is.
    let (status, said) = world.ask("POST", &of_db("restores"), json!({ "at": "2026-11-24T11:00:00Z" })).await;
    assert_eq!((status, &said["code"]), (404, &json!("snapshot_not_found")), "{said}");
    assert!(
        said["message"].as_str().is_some_and(|text| text.contains("every second is there from")),
        "{said}"
    );
    let (status, dump) = world.ask("POST", &of_db("restores"), json!({ "at": "2026-11-24T09:30:00Z" })).await;
    assert_eq!((status, &dump["point"]["at"]), (202, &json!("2026-11-24T09:00:00.000Z")), "{dump}");
}

#[tokio::test]
async fn a_base_backup_is_asked_for_where_wal_is_kept() {
    let world = saved().await;
    let base = json!({ "kind": "base", "project": "dropit", "environment": "production", "database": "db" });
    let (status, said) = world.ask("POST", "/v1/backup-runs", json!({ "what": base })).await;
    assert_eq!((status, &said["code"]), (422, &json!("backup_unsupported")), "{said}");
    let db = json!({"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "daily": 7 }, "point_in_time": "7d" }});
    let (status, body) = world.ask("PUT", ENVIRONMENT, json!({ "services": [], "databases": [db] })).await;
    assert_eq!(status, 200, "{body}");
    let (status, asked) = world.ask("POST", "/v1/backup-runs", json!({ "what": base })).await;
    assert_eq!(
        (status, &asked["runs"][0]["name"]),
        (202, &json!("base of database dropit/production/db")),
        "{asked}"
    );
    let (status, account) = world.get("/v1/backup-status").await;
    assert_eq!(status, 200, "{account}");
    let names: Vec<_> =
        account["accounts"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert!(names.contains(&&json!("base of database dropit/production/db")), "{names:?}");
}

#[tokio::test]
async fn a_restore_makes_a_database_beside_the_one_that_was_saved() {
    let world = saved().await;
    let (status, plan) = world.ask("POST", &of_db("restores"), json!({ "dry_run": true })).await;
    assert_eq!(status, 200, "{plan}");
    assert_eq!((&plan["database"], &plan["server"]), (&json!("db-restored-1"), &json!("postgres 16")));
    assert_eq!(world.get(&of_db("restores")).await, (200, json!({ "restores": [] })), "nothing was changed");

    let (status, made) = world.ask("POST", &of_db("restores"), json!({ "snapshot": "11111111" })).await;
    assert_eq!(status, 202, "{made}");
    let restore = &made["restore"];
    assert_eq!((&restore["id"], &restore["status"]), (&json!("v1"), &json!("preparing")));
    assert_eq!(
        (&restore["database"], &restore["at"]),
        (&json!("db-restored-1"), &json!("2026-11-24T08:00:00.000Z"))
    );
    assert_eq!(world.get("/v1/restores/v1").await, (200, restore.clone()));
    let (_, databases) = world.get(&format!("{ENVIRONMENT}/databases")).await;
    let names: Vec<&Value> =
        databases["databases"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("db"), &json!("db-restored-1")]);
    let at = json!({ "at": "2026-11-24T08:59:59.999Z", "name": "yesterday" });
    let (status, made) = world.ask("POST", &of_db("restores"), at).await;
    assert_eq!((status, &made["point"]["run"], &made["database"]), (202, &json!("u1"), &json!("yesterday")));
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused() {
    let world = saved().await;
    for (request, status, code) in [
        (json!({ "name": "db" }), 409, "name_taken"),
        (json!({ "name": "template1" }), 422, "spec_invalid"),
        (json!({ "snapshot": "33333333" }), 404, "snapshot_not_found"),
        (json!({ "snapshot": "1" }), 400, "query_invalid"),
        (json!({ "snapshot": "11111111", "at": "2026-11-24T09:00:00Z" }), 400, "query_invalid"),
        (json!({ "at": "2026-11-24T07:00:00Z" }), 404, "snapshot_not_found"),
        (json!({ "into": "db" }), 400, "body_invalid"),
    ] {
        let (found, body) = world.ask("POST", &of_db("restores"), request.clone()).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{request}: {body}");
    }
    save(&world, manifest(0, '4', "MySQL 8.4")).await;
    let (status, body) = world.ask("POST", &of_db("restores"), json!({})).await;
    assert_eq!((status, &body["code"]), (422, &json!("backup_unsupported")), "{body}");
    let (status, body) = world.ask("POST", &of_db("drills"), Value::Null).await;
    assert_eq!((status, &body["code"]), (422, &json!("backup_unsupported")), "{body}");
    let (status, body) = world.get("/v1/restores/v9").await;
    assert_eq!((status, &body["code"]), (404, &json!("restore_not_found")), "{body}");
}

#[tokio::test]
async fn a_database_that_is_gone_comes_back() {
    let world = saved().await;
    world
        .write(|tx| {
            let row = tx.list_databases()?.remove(0);
            tx.request_database_destroy(row.id, row.created_at)?;
            tx.remove_database(row.id)
        })
        .await;
    let (status, made) = world.ask("POST", &of_db("restores"), json!({ "name": "db" })).await;
    assert_eq!((status, &made["database"]), (202, &json!("db")), "{made}");
}

#[tokio::test]
async fn bytes_come_out_whole_or_not_at_all() {
    let world = saved().await;
    let (status, body) = world.get(&of_db("snapshot")).await;
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")), "{body}");

    let plant = |parts: Vec<Result<Bytes, SnapshotError>>| {
        *world.snapshots.parts.lock().unwrap() = Some(parts);
    };
    let (first, last) = CONTENT.split_at(5);
    plant(vec![Ok(Bytes::from_static(first)), Ok(Bytes::from_static(last))]);
    let response = send(&world.local, "GET", &of_db("snapshot"), &[], Body::empty()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"], "18");
    assert_eq!(response.headers()["havre-sha256"], "a".repeat(64));
    assert_eq!(response.headers()["havre-snapshot"], "2".repeat(64));
    let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
    assert_eq!(body, CONTENT);

    // All bytes came, but they were not the right ones: the last of them are never sent.
    plant(vec![
        Ok(Bytes::from_static(first)),
        Ok(Bytes::from_static(last)),
        Err(SnapshotError("18 bytes went in, but others come out".to_owned())),
    ]);
    let response = send(&world.local, "GET", &of_db("snapshot?snapshot=11111111"), &[], Body::empty()).await;
    assert_eq!(response.headers()["havre-snapshot"], "1".repeat(64));
    let error = axum::body::to_bytes(response.into_body(), 100).await.unwrap_err();
    assert!(!error.to_string().is_empty());
}

#[tokio::test]
async fn a_drill_has_a_report_that_shows_when_it_was_changed() {
    let world = saved().await;
    let (status, drill) = world.ask("POST", &of_db("drills"), Value::Null).await;
    assert_eq!((status, &drill["id"], &drill["status"]), (202, &json!("x1"), &json!("preparing")), "{drill}");
    assert_eq!((&drill["snapshot"], &drill["is_scheduled"]), (&json!("2".repeat(64)), &json!(false)));
    assert_eq!(
        (&drill["method"], &drill["at"]),
        (&json!("dump"), &json!("2026-11-24T09:00:00.000Z")),
        "{drill}"
    );
    assert_eq!(drill["rpo_measured_ms"], 3_600_000, "an hour would have been lost");
    let (status, body) = world.ask("POST", &of_db("drills"), Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("drill_running")), "{body}");
    let (status, body) = world.get("/v1/drills/x1/report").await;
    assert_eq!((status, &body["code"]), (409, &json!("drill_running")), "{body}");

    world
        .write(|tx| {
            let drill = tx.get_drill(DrillId::new(1))?;
            let findings = Findings { rows: drill.manifest.rows.clone(), ..Findings::default() };
            let verdict = Verdict::Passed { findings, rto_measured_ms: 1500 };
            let to = DrillState::Cleaning { since: drill.created_at, verdict };
            tx.set_drill_state(drill.id, &drill.state, &to)?;
            tx.end_drill(drill.id)
        })
        .await;
    let (status, report) = world.get("/v1/drills/x1/report").await;
    assert_eq!((status, &report["is_signed"]), (200, &json!(true)), "{report}");
    assert_eq!(report["drill"]["rto_measured_ms"], 1500);
    assert!(report["text"].as_str().unwrap().contains("\"rto_measured_ms\":1500"));
    assert_eq!(report["signature"].as_str().unwrap().len(), 64);
    let (_, list) = world.get("/v1/drills").await;
    assert_eq!(list["drills"][0], report["drill"]);
    let (status, body) = world.get("/v1/drills/x9").await;
    assert_eq!((status, &body["code"]), (404, &json!("drill_not_found")), "{body}");
}

#[tokio::test]
async fn a_drill_to_a_second_takes_the_newest_one() {
    let world = saved().await;
    let path = of_db("drills?method=point_in_time");
    let (status, body) = world.ask("POST", &path, Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("snapshot_not_found")), "{body}");
    let (status, body) = world.ask("POST", &of_db("drills?method=other"), Value::Null).await;
    assert_eq!((status, &body["code"]), (400, &json!("query_invalid")), "{body}");
    keep_wal(&world).await;
    world.clock.fetch_add(7_200_000, std::sync::atomic::Ordering::Relaxed);
    let (status, drill) = world.ask("POST", &path, Value::Null).await;
    assert_eq!((status, &drill["method"]), (202, &json!("point_in_time")), "{drill}");
    assert_eq!(
        (&drill["snapshot"], &drill["at"]),
        (&json!("3".repeat(64)), &json!("2026-11-24T10:59:59.999Z"))
    );
    assert_eq!(drill["rpo_measured_ms"], 3_600_001);
    let (status, body) = world.ask("POST", &of_db("drills"), Value::Null).await;
    assert_eq!(
        (status, &body["code"]),
        (409, &json!("drill_running")),
        "both ways are drills of one database: {body}"
    );
}
