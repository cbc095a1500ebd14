//! `havre restore` and drills: what is followed, how it ends, and files that are whole or not there.

use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, Fake};

const AT: &str = "2026-11-24T10:00:00.000Z";

fn restore(status: &str, failure: &str) -> Value {
    let is_final = matches!(status, "ready" | "failed");
    json!({
        "id": "v3", "project": "shop", "environment": "production", "source": "db", "database": "db-restored-1",
        "target": "disk-two", "snapshot": "1".repeat(64), "at": AT,
        "state": { "state": "working", "progress": { "step": "loading", "since": AT } }, "status": status,
        "is_final": is_final, "failure": failure, "created_at": AT, "ended_at": is_final.then_some(AT),
    })
}

fn asked() -> Value {
    json!({
        "dry_run": false, "database": "db-restored-1", "server": "postgres 16", "restore": restore("preparing", ""),
        "point": { "at": AT, "snapshot": "1".repeat(64), "target": "disk-two", "run": "u1", "bytes": 1536,
            "sha256": "a".repeat(64), "tables": 2, "rows": 7, "source_version": "PostgreSQL 16.14", "verified_at": AT },
    })
}

#[tokio::test]
async fn a_restore_is_followed_to_its_end() {
    let fake = Fake::start().await;
    fake.answer(&format!("POST {ENVIRONMENT}/databases/db/restores"), 202, asked());
    fake.answer("GET /v1/restores/v3", 200, restore("loading", ""));
    let mut run = fake.run(&["restore", "db", "--project", "shop"]);
    run.until("v3 is loading").await;
    fake.answer("GET /v1/restores/v3", 200, restore("ready", ""));
    let (code, stdout, stderr) = run.end().await;
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");

    fake.answer("GET /v1/restores/v3", 200, restore("failed", "Havre ended while it ran"));
    let run = fake.run(&["restore", "db", "--project", "shop"]);
    let (code, _, stderr) = run.end().await;
    assert_eq!(code, 1);
    assert!(stderr.contains("v3 failed: Havre ended while it ran"), "{stderr}");
    assert!(stderr.contains("db was not touched"), "{stderr}");
}

#[tokio::test]
async fn a_volume_is_named_with_its_service() {
    let fake = Fake::start().await;
    let restore = |status: &str, failure: &str| {
        json!({
            "id": "f3", "project": "shop", "environment": "production", "service": "api", "source": "uploads",
            "volume": "uploads-restored-1", "target": "disk-two", "snapshot": "1".repeat(64), "at": AT,
            "state": { "state": "waiting", "since": AT }, "status": status, "is_final": status != "loading",
            "failure": failure, "created_at": AT, "ended_at": (status != "loading").then_some(AT),
        })
    };
    let asked = json!({
        "dry_run": false, "volume": "uploads-restored-1", "restore": restore("loading", ""), "point": asked()["point"],
    });
    fake.answer(&format!("POST {ENVIRONMENT}/services/api/volumes/uploads/restores"), 202, asked);
    fake.answer("GET /v1/volume-restores/f3", 200, restore("ready", ""));
    let (code, _, stderr) = fake.run(&["restore", "api/uploads", "--project", "shop"]).end().await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("uploads-restored-1 is what api/uploads was at"), "{stderr}");
    fake.answer("GET /v1/volume-restores/f3", 200, restore("failed", "failed while loading: no room"));
    let (code, _, stderr) = fake.run(&["restore", "api/uploads", "--project", "shop"]).end().await;
    assert_eq!(code, 1);
    assert!(stderr.contains("api/uploads was not touched"), "{stderr}");
    let (code, _, stderr) =
        fake.run(&["restore", "api/uploads", "--at", "latest", "--project", "shop"]).end().await;
    assert_eq!(code, 2, "{stderr}");
}

#[tokio::test]
async fn bytes_are_a_file_only_when_all_of_them_are_there() {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db.dump");
    let to = path.to_str().expect("is text").to_owned();
    let dump = format!("GET {ENVIRONMENT}/databases/db/snapshot");
    let ask = ["restore", "db", "--to", &to, "--project", "shop"];
    fake.answer(&dump, 503, json!({ "code": "unavailable", "message": "its disk is gone", "hint": "" }));
    let (code, _, stderr) = fake.run(&ask).end().await;
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("is a folder").count(), 0);

    fake.answer(&dump, 200, json!("PGDMP"));
    let (code, _, stderr) = fake.run(&ask).end().await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(std::fs::read(&path).expect("is there"), b"\"PGDMP\"");
    let (code, _, stderr) = fake.run(&ask).end().await;
    assert_eq!(code, 2, "{stderr}");
    let (code, stdout, _) = fake.run(&["restore", "db", "--to", "-", "--project", "shop"]).end().await;
    assert_eq!((code, stdout.as_str()), (0, "\"PGDMP\""));
}

#[tokio::test]
async fn a_changed_report_is_found_out() {
    let fake = Fake::start().await;
    let drill = json!({
        "id": "x7", "project": "shop", "environment": "production", "database": "db", "target": "disk-two",
        "snapshot": "1".repeat(64), "at": AT, "state": { "state": "passed", "at": AT }, "status": "passed", "is_final": true,
        "failure": "", "method": "dump", "rto_measured_ms": 1500, "rpo_measured_ms": 0, "is_scheduled": true, "created_at": AT, "ended_at": AT,
    });
    let report = |is_signed| json!({ "drill": drill, "text": "{}", "signature": "c".repeat(64), "is_signed": is_signed });
    fake.answer("GET /v1/drills/x7/report", 200, report(false));
    let (code, _, stderr) = fake.run(&["backup", "report", "x7", "--verify"]).end().await;
    assert_eq!(code, 1);
    assert!(stderr.contains("is not the one that was signed"), "{stderr}");
    fake.answer("GET /v1/drills/x7/report", 200, report(true));
    let (code, _, stderr) = fake.run(&["backup", "report", "x7", "--verify"]).end().await;
    assert_eq!(code, 0, "{stderr}");
}
