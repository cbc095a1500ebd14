//! Restores of a real PostgreSQL: rows in, a backup, a new database with the same rows; a drill without a network that leaves nothing; and a
//! manifest that somebody has changed, which is found out.

use std::time::Duration;

use havre_api::backup::{BackupRun, BackupRunList, BackupTarget};
use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use havre_api::restore::{CreateRestoreResponse, Drill, DrillReport, Restore, RestorePointList};
use havre_core::backup::run::RunState;
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::world::docker::{docker, label, need};
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";
/// Tables with what a dump has to carry: an owner that is no superuser, an index, a sequence, a large object of text, rows of another schema.
const FILL: &str = "CREATE ROLE app NOLOGIN; CREATE SCHEMA log; \
    CREATE TABLE notes (id serial PRIMARY KEY, text text NOT NULL UNIQUE); ALTER TABLE notes OWNER TO app; \
    INSERT INTO notes (text) SELECT md5(g::text) FROM generate_series(1, 5000) g; \
    CREATE TABLE log.lines (at timestamptz, line text); INSERT INTO log.lines SELECT now(), 'one' FROM generate_series(1, 7); \
    GRANT SELECT ON log.lines TO app; CREATE VIEW many AS SELECT count(*) AS n FROM notes;";
/// The same of two databases only where they hold the same rows.
const SUM: &str = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM notes t";

/// The container of a database, once it answers.
async fn container(world: &World, name: &str) -> String {
    let look = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/{name}")).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    let found = until("the database answers", look).await;
    format!("havre-{}-{}-{name}-production-e2e", found.id, found.task)
}

fn sql(container: &str, database: &str, text: &str) -> String {
    let psql = [
        "exec",
        container,
        "psql",
        "-X",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        "postgres",
        "-d",
        database,
    ];
    let words = [psql.as_slice(), &["-c", text]].concat();
    docker(&words).expect("the statement runs").trim().to_owned()
}

/// A database with rows, and a good backup of it; its container.
async fn saved(world: &World) -> String {
    let db = json!({
        "name": "db", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "daily": 7 }, "assert": ["select count(*) = 5000 from notes"] },
    });
    let request = json!({ "services": [], "databases": [db] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let container = container(world, "db").await;
    sql(&container, "db", FILL);
    let place = world.folder.path().join("repository");
    let target = json!({ "location": { "kind": "folder", "path": place }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &target).await;
    let look = async || {
        let path = "/v1/backup-runs?what=database/e2e/production/db";
        let runs: Vec<BackupRun> = world.api.find::<BackupRunList>(path).await?.runs;
        runs.into_iter().find(|run| run.status == RunState::Good)
    };
    let run = until("a backup is good", look).await;
    assert_eq!(run.manifest.expect("it is good").rows["public.notes"], 5000);
    container
}

/// Asks for a drill and waits for its end.
async fn drill(world: &World) -> Drill {
    let asked: Drill = world.api.send(Method::POST, &format!("{ENVIRONMENT}/databases/db/drills"), &()).await;
    let path = format!("/v1/drills/{}", asked.id);
    until("the drill is over", async || world.api.find::<Drill>(&path).await.filter(|one| one.is_final)).await
}

/// Containers and volumes of drills that are there.
fn left(world: &World) -> String {
    let ours = label(&world.installation);
    let containers = docker(&[
        "ps",
        "-a",
        "--filter",
        &ours,
        "--filter",
        "label=dev.havre.purpose=drill",
        "--format",
        "{{.Names}}",
    ]);
    let volumes =
        docker(&["volume", "ls", "--filter", &ours, "--filter", "name=havre-q", "--format", "{{.Name}}"]);
    format!("{}{}", containers.expect("a list"), volumes.expect("a list"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_saved_comes_back_beside_what_is_there() {
    need(POSTGRES);
    let world = World::start_sealed().await;
    let old = saved(&world).await;
    let before = sql(&old, "db", SUM);
    sql(&old, "db", "DELETE FROM notes WHERE id > 10");
    let points: RestorePointList = world.api.get(&format!("{ENVIRONMENT}/databases/db/points")).await;
    assert_eq!((points.points.len(), points.points[0].rows), (1, 5007));

    let asked: CreateRestoreResponse =
        world.api.send(Method::POST, &format!("{ENVIRONMENT}/databases/db/restores"), &json!({})).await;
    assert_eq!(asked.database.as_str(), "db-restored-1");
    let path = format!("/v1/restores/{}", asked.restore.expect("it is no dry run").id);
    let over = async || world.api.find::<Restore>(&path).await.filter(|restore| restore.is_final);
    let restore = until("the restore is over", over).await;
    assert_eq!(restore.status, "ready", "{}", restore.failure);
    let new = container(&world, "db-restored-1").await;
    assert_eq!(sql(&new, "db-restored-1", SUM), before, "the same rows");
    assert_eq!(sql(&new, "db-restored-1", "SELECT count(*) FROM log.lines"), "7");
    assert_eq!(sql(&new, "db-restored-1", "SELECT n FROM many"), "5000");
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'notes'";
    assert_eq!(sql(&new, "db-restored-1", owner), "app");
    sql(&new, "db-restored-1", "INSERT INTO notes (text) VALUES ('the sequence goes on')");
    assert_eq!(sql(&old, "db", "SELECT count(*) FROM notes"), "10", "the old one was not touched");

    // The bytes, whole: what pg_restore lists.
    let dump = world.api.call(Method::GET, &format!("{ENVIRONMENT}/databases/db/snapshot"), Vec::new()).await;
    let (status, bytes) = dump.expect("all of it comes");
    assert_eq!((status, bytes.len() as u64), (StatusCode::OK, points.points[0].bytes));
    assert!(bytes.starts_with(b"PGDMP"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_meets_no_network_and_finds_a_changed_manifest() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    saved(&world).await;
    let asked: Drill = world.api.send(Method::POST, &format!("{ENVIRONMENT}/databases/db/drills"), &()).await;
    let container = format!("havre-{}-drill-db-production-e2e", asked.id);
    let mode =
        ["inspect", "--format", "{{.HostConfig.NetworkMode}} {{len .NetworkSettings.Ports}}", &container];
    let mode = until("its server is there", async || docker(&mode).ok()).await;
    assert_eq!(mode.trim(), "none 0");
    let path = format!("/v1/drills/{}", asked.id);
    let over = async || world.api.find::<Drill>(&path).await.filter(|drill| drill.is_final);
    let passed = until("the drill is over", over).await;
    assert_eq!(passed.status, "passed", "{}", passed.failure);
    assert!(passed.rto_measured_ms.is_some_and(|millis| millis > 0));
    assert_eq!(left(&world), "");
    let report: DrillReport = world.api.get(&format!("{path}/report")).await;
    assert!(report.is_signed, "{report:?}");
    assert!(report.text.contains("\"public.notes\":5000"), "{}", report.text);

    // Somebody says that more was saved, and that another report was written.
    world.process("control").kill();
    let store = world.config.with_file_name("data").join("store.sqlite");
    {
        let store = rusqlite::Connection::open(store).expect("the store is there");
        store.busy_timeout(Duration::from_secs(5)).expect("a timeout");
        let more = "UPDATE backup_runs SET manifest = replace(manifest, '\"public.notes\":5000', '\"public.notes\":5001') \
            WHERE manifest IS NOT NULL";
        store.execute(more, []).expect("it is written");
        let other =
            "UPDATE drills SET report = replace(report, '\"public.notes\":5000', '\"public.notes\":5001')";
        store.execute(other, []).expect("it is written");
    }
    world.start_control().await;
    let report: DrillReport = world.api.get(&format!("{path}/report")).await;
    assert!(!report.is_signed, "{report:?}");
    let failed = drill(&world).await;
    assert_eq!(failed.status, "failed");
    assert!(failed.failure.contains("public.notes had 5001 rows and has 5000"), "{}", failed.failure);
    assert_eq!(left(&world), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_in_the_middle_of_a_drill_leaves_nothing() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    saved(&world).await;
    let asked: Drill = world.api.send(Method::POST, &format!("{ENVIRONMENT}/databases/db/drills"), &()).await;
    let container = format!("havre-{}-drill-db-production-e2e", asked.id);
    until("its server is there", async || docker(&["inspect", &container]).ok()).await;
    world.process("control").kill();
    world.start_control().await;
    let path = format!("/v1/drills/{}", asked.id);
    let over = async || world.api.find::<Drill>(&path).await.filter(|drill| drill.is_final);
    let ended = until("the drill is over", over).await;
    // Killed before the load began, it goes on; in the middle of one, nobody believes it.
    assert!(ended.status == "passed" || ended.failure.contains("Havre ended while it ran"), "{ended:?}");
    assert_eq!(left(&world), "");
}
