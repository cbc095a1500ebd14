//! A real PostgreSQL is drilled out of its base backup and WAL, without a network and with a report; a stretch of WAL that is missing in the middle,
//! a second that is not there, and flipped bytes of the repository are found out; and a probe learns of it while control does not run.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use havre_api::backup::{BackupCheck, BackupRun, BackupRunList, BackupTarget};
use havre_api::environment::ApplyResponse;
use havre_api::restore::{Drill, DrillReport, RestorePointList};
use havre_core::backup::run::RunState;
use havre_core::time::Timestamp;
use havre_rescue::drill::Method;
use hyper::Method as Verb;
use rusqlite::Connection;
use serde_json::json;

use crate::point_in_time::{container, sql};
use crate::world::docker::{docker, label, need};
use crate::world::process::beside;
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";
/// Segments after which a stretch is closed, and one more.
const SWITCHES: u32 = 17;

/// A database whose every second counts, with a target and a good base backup; its container.
async fn kept(world: &World) -> String {
    let db = json!({
        "name": "drilled", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "daily": 7 }, "point_in_time": "1d",
            "assert": ["select count(*) > 0 from markers", "select max(n) <= 3 from markers"] },
    });
    let request = json!({ "services": [], "databases": [db] });
    let _: ApplyResponse = world.api.send(Verb::PUT, ENVIRONMENT, &request).await;
    let container = container(world, "drilled").await;
    sql(&container, "drilled", "CREATE TABLE markers (n int PRIMARY KEY); INSERT INTO markers VALUES (0)");
    let place = world.folder.path().join("repository");
    let target = json!({ "location": { "kind": "folder", "path": place }, "medium": "two" });
    let _: BackupTarget = world.api.send(Verb::PUT, "/v1/backup-targets/disk", &target).await;
    let look = async || {
        let path = "/v1/backup-runs?what=base/e2e/production/drilled";
        let runs: Vec<BackupRun> = world.api.find::<BackupRunList>(path).await?.runs;
        runs.into_iter().find(|run| run.status == RunState::Good)
    };
    until("a base backup is good", look).await;
    container
}

/// Writes a marker and fills a stretch; waits until the line has it.
async fn go_on(world: &World, container: &str, marker: u32) {
    sql(container, "drilled", &format!("INSERT INTO markers VALUES ({marker})"));
    for _ in 0..SWITCHES {
        sql(container, "drilled", "SELECT pg_current_xact_id(), pg_switch_wal()");
    }
    let text = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    let at = Timestamp::parse(&sql(container, "drilled", text)).expect("is an instant");
    let path = format!("{ENVIRONMENT}/databases/drilled/points");
    let look = async || {
        let line = world.api.find::<RestorePointList>(&path).await?.line;
        line.last().is_some_and(|last| last.until > at).then_some(())
    };
    until("the line reaches the instant", look).await;
}

async fn ended(world: &World, id: &str) -> Drill {
    let path = format!("/v1/drills/{id}");
    let ended = until("the drill is over", async || {
        world.api.find::<Drill>(&path).await.filter(|drill| drill.is_final)
    })
    .await;
    assert_eq!(left(world), "", "nothing is left of it");
    ended
}

async fn drill(world: &World) -> Drill {
    let path = format!("{ENVIRONMENT}/databases/drilled/drills?method=point_in_time");
    let asked: Drill = world.api.send(Verb::POST, &path, &()).await;
    ended(world, &asked.id.to_string()).await
}

/// Containers of drills that are there.
fn left(world: &World) -> String {
    let (ours, purpose) = (label(&world.installation), "label=dev.havre.purpose=drill");
    let left = docker(&["ps", "-a", "--filter", &ours, "--filter", purpose, "--format", "{{.Names}}"]);
    left.expect("a list")
}

/// Asks for the same drill once more with another aim, as a store would that holds what is not true. Control does not run.
fn ask_with(world: &World, first: &Drill, aim: &str) -> String {
    let store = Connection::open(world.config.with_file_name("data").join("store.sqlite")).expect("is there");
    store.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    let state = json!({ "state": "working", "progress": { "step": "preparing", "since": first.created_at } });
    let sql = format!(
        "INSERT INTO drills (what_key, environment_id, project, environment, database, target, manifest, spec, image, assertions, \
         aim, is_scheduled, state, created_at) SELECT what_key, environment_id, project, environment, database, target, manifest, \
         spec, image, assertions, {aim}, 0, ?1, created_at + 1 FROM drills WHERE id = ?2"
    );
    let number: i64 = first.id.to_string()[1..].parse().expect("is a number");
    store.execute(&sql, (state.to_string(), number)).expect("it is written");
    format!("x{}", store.last_insert_rowid())
}

/// `havred backup-check --json`: its exit code and what it says.
fn check(config: &Path) -> (Option<i32>, Vec<String>) {
    let mut havred = Command::new(beside("havred"));
    let output =
        havred.arg("--config").arg(config).args(["backup-check", "--json"]).output().expect("it runs");
    let said: BackupCheck = serde_json::from_slice(&output.stdout).expect("is JSON");
    (output.status.code(), said.problems.iter().map(ToString::to_string).collect())
}

/// Flips a byte in the middle of every large file of a repository.
fn flip(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            count += flip(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("is read");
        if bytes.len() > 4096 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            // Files of a repository may be read-only.
            std::fs::remove_file(&path).expect("is removed");
            std::fs::write(&path, bytes).expect("is written");
            count += 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_is_drilled_and_what_is_missing_is_found_out() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    let database = kept(&world).await;
    for marker in 1..=3 {
        go_on(&world, &database, marker).await;
    }
    let passed = drill(&world).await;
    assert_eq!(
        (passed.status.as_str(), passed.method),
        ("passed", Method::PointInTime),
        "{}",
        passed.failure
    );
    assert!(passed.rto_measured_ms.is_some_and(|millis| millis > 0));
    let report: DrillReport = world.api.get(&format!("/v1/drills/{}/report", passed.id)).await;
    assert!(report.is_signed, "{report:?}");
    for part in [
        format!("{{\"at\":\"{}\"", passed.at),
        "\"method\":\"point_in_time\"".to_owned(),
        format!("\"rpo_measured_ms\":{}", passed.rpo_measured_ms),
        "\"files\":{\"structure\":\"sound\"}".to_owned(),
        "\"public.markers\":4".to_owned(),
    ] {
        assert!(report.text.contains(&part), "{part}: {}", report.text);
    }
    assert_eq!(check(&world.config), (Some(0), Vec::new()));

    // Somebody's store names WAL with a hole in the middle, and then a second that was never written.
    let tomorrow = Timestamp::from_millis(passed.at.as_millis() + 86_400_000);
    for aim in [
        "json_remove(aim, '$.recovery.stretches[1]')".to_owned(),
        format!("json_set(aim, '$.recovery.at', '{tomorrow}')"),
    ] {
        world.process("control").kill();
        let id = ask_with(&world, &passed, &aim);
        world.start_control().await;
        let failed = ended(&world, &id).await;
        assert_eq!(failed.status, "failed", "{aim}");
        assert!(failed.failure.contains("the server that reads the WAL ended"), "{aim}: {}", failed.failure);
    }

    world.process("control").kill();
    let (code, said) = check(&world.config);
    assert_eq!(code, Some(6), "{said:?}");
    let expected = "drill of database e2e/production/drilled in disk: x";
    assert!(said.iter().any(|line| line.starts_with(expected)), "{said:?}");

    assert!(flip(&world.folder.path().join("repository").join("data")) > 0);
    world.start_control().await;
    let failed = drill(&world).await;
    assert!(failed.failure.contains("the repository failed"), "{}", failed.failure);
}
