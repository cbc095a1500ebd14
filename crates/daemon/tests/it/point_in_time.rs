//! A real PostgreSQL brought back to a second: rows that were there come back, rows of later do not, nobody of before gets in; a kill of control
//! on the way loses no segment; and what no line reaches is refused with what there is.

use std::time::Duration;

use havre_api::backup::{BackupRun, BackupRunList, BackupTarget};
use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use havre_api::restore::{CreateRestoreResponse, Restore, RestoreInterval, RestorePointList};
use havre_core::backup::run::RunState;
use havre_core::time::Timestamp;
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::world::docker::{docker, label, need};
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";

/// The container of a database, once it answers.
pub(crate) async fn container(world: &World, name: &str) -> String {
    let look = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/{name}")).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    let found = until("the database answers", look).await;
    format!("havre-{}-{}-{name}-production-e2e", found.id, found.task)
}

pub(crate) fn sql(container: &str, database: &str, text: &str) -> String {
    let words =
        ["exec", container, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d"];
    docker(&[words.as_slice(), &[database, "-c", text]].concat())
        .expect("the statement runs")
        .trim()
        .to_owned()
}

/// A database whose every second counts, with a target and a good base backup; its container.
async fn kept(world: &World) -> String {
    let db = json!({
        "name": "kept", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "daily": 7 }, "point_in_time": "1d" },
    });
    let request = json!({ "services": [], "databases": [db] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let container = container(world, "kept").await;
    let table = "CREATE TABLE markers (n int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp()); \
        CREATE ROLE guest LOGIN PASSWORD 'guest'; INSERT INTO markers (n) VALUES (0)";
    sql(&container, "kept", table);
    let place = world.folder.path().join("repository");
    let target = json!({ "location": { "kind": "folder", "path": place }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &target).await;
    let look = async || {
        let path = "/v1/backup-runs?what=base/e2e/production/kept";
        let runs: Vec<BackupRun> = world.api.find::<BackupRunList>(path).await?.runs;
        runs.into_iter().find(|run| run.status == RunState::Good)
    };
    until("a base backup is good", look).await;
    container
}

/// The line once it reaches this instant.
async fn line(world: &World, at: Timestamp) -> Vec<RestoreInterval> {
    let path = format!("{ENVIRONMENT}/databases/kept/points");
    let look = async || {
        let line = world.api.find::<RestorePointList>(&path).await?.line;
        line.last().is_some_and(|last| last.until > at).then_some(line)
    };
    until("the line reaches the instant", look).await
}

/// The instant of the server in between two markers.
fn between(container: &str, first: u32) -> Timestamp {
    sql(container, "kept", &format!("INSERT INTO markers (n) VALUES ({first})"));
    std::thread::sleep(Duration::from_millis(300));
    let text = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    let at = Timestamp::parse(&sql(container, "kept", text)).expect("is an instant");
    std::thread::sleep(Duration::from_millis(300));
    sql(container, "kept", &format!("INSERT INTO markers (n) VALUES ({})", first + 1));
    at
}

async fn restored(world: &World, at: Timestamp) -> Restore {
    let path = format!("{ENVIRONMENT}/databases/kept/restores");
    let asked: CreateRestoreResponse = world.api.send(Method::POST, &path, &json!({ "at": at })).await;
    assert_eq!(asked.point.at, at);
    let path = format!("/v1/restores/{}", asked.restore.expect("it is no dry run").id);
    let over = async || world.api.find::<Restore>(&path).await.filter(|restore| restore.is_final);
    until("the restore is over", over).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_comes_back_to_a_second_and_not_later() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    let old = kept(&world).await;
    let first = between(&old, 1);
    // Whatever control was doing, what the server hands out meanwhile waits on its disk.
    world.process("control").kill();
    let second = between(&old, 11);
    world.start_control().await;
    let there = line(&world, second).await;
    assert_eq!(there.len(), 1, "nothing is missing in between: {there:?}");

    for (at, newest) in [(first, "1"), (second, "11")] {
        let restore = restored(&world, at).await;
        assert_eq!(restore.status, "ready", "{}", restore.failure);
        assert_eq!(restore.at, at);
        let name = restore.database.as_str();
        let new = container(&world, name).await;
        assert_eq!(sql(&new, name, "SELECT max(n) FROM markers"), newest, "restored to {at}");
        let logins = "SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolcanlogin";
        assert_eq!(sql(&new, name, logins), "postgres", "nobody of before gets in");
        assert_eq!(sql(&new, name, "SHOW archive_mode"), "off");
        sql(&new, name, "INSERT INTO markers (n) VALUES (99)");
    }
    assert_eq!(sql(&old, "kept", "SELECT max(n) FROM markers"), "12", "the old one was not touched");
    let (ours, purpose) = (label(&world.installation), "label=dev.havre.purpose=recovery");
    let left = docker(&["ps", "-a", "--filter", &ours, "--filter", purpose, "--format", "{{.Names}}"]);
    assert_eq!(left.expect("a list"), "", "nothing is left of the helpers");

    // What has not happened yet is not there, and what there is is said.
    let path = format!("{ENVIRONMENT}/databases/kept/restores");
    let later = Timestamp::from_millis(there[0].until.as_millis() + 86_400_000);
    let body = serde_json::to_vec(&json!({ "at": later })).expect("is JSON");
    let (status, said) = world.api.call(Method::POST, &path, body).await.expect("control answers");
    assert_eq!(status, StatusCode::NOT_FOUND);
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("every second is there from"), "{said}");
}
