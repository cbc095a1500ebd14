//! Backups of a real PostgreSQL and of Havre itself, into a folder: stock restic gives them out again with the password of the recovery kit, and
//! control may die in the middle of one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use havre_api::backup::{BackupKit, BackupRun, BackupRunList, BackupTarget};
use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use havre_core::backup::run::RunState;
use hyper::Method;
use serde_json::json;

use crate::world::docker::{docker, need};
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";
const WHAT: &str = "database/e2e/production/db";

/// A database with a policy that answers; the name of its container.
async fn database(world: &World) -> String {
    let db = json!({
        "name": "db", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "daily": 7 } },
    });
    let request = json!({ "services": [], "databases": [db] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let look = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/db")).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    let found = until("the database answers", look).await;
    format!("havre-{}-{}-db-production-e2e", found.id, found.task)
}

fn sql(container: &str, text: &str) {
    let psql =
        ["exec", container, "psql", "-X", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "db", "-c", text];
    docker(&psql).expect("the statement runs");
}

/// Where the target of these tests has its repository.
fn place(world: &World) -> PathBuf {
    world.folder.path().join("repository")
}

async fn set_target(world: &World) {
    let request = json!({ "location": { "kind": "folder", "path": place(world) }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &request).await;
}

/// Runs of the database, newest first.
async fn runs(world: &World) -> Option<Vec<BackupRun>> {
    Some(world.api.find::<BackupRunList>(&format!("/v1/backup-runs?what={WHAT}")).await?.runs)
}

/// The newest run of the database, once it is a good one besides `others`.
async fn good(world: &World, others: usize) -> BackupRun {
    let look = async || {
        let good = runs(world).await?.into_iter().filter(|run| run.status == RunState::Good);
        let good: Vec<BackupRun> = good.collect();
        (good.len() > others).then(|| good.into_iter().next()).flatten()
    };
    until("a backup is good", look).await
}

async fn ask(world: &World) -> BackupRun {
    let what = json!({ "kind": "database", "project": "e2e", "environment": "production", "database": "db" });
    let asked: BackupRunList =
        world.api.send(Method::POST, "/v1/backup-runs", &json!({ "what": what })).await;
    asked.runs.into_iter().next().expect("one target, one run")
}

/// The password on the printed page.
async fn password(world: &World) -> String {
    let kit: BackupKit = world.api.send(Method::POST, "/v1/backup-targets/disk/kit", &()).await;
    let rest = kit.page.split("Password, with its dashes:").nth(1).expect("it is on the page");
    rest.lines().map(str::trim).find(|line| !line.is_empty()).expect("it is on the page").to_owned()
}

fn restic(repository: &Path, password: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("restic")
        .args(["--no-cache", "--no-lock"])
        .args(arguments)
        .env("RESTIC_REPOSITORY", repository)
        .env("RESTIC_PASSWORD", password)
        .output()
        .expect("restic is installed: apt-get install restic");
    assert!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restic_gives_out_what_was_saved_and_postgres_reads_it() {
    need(POSTGRES);
    let world = World::start_sealed().await;
    let container = database(&world).await;
    sql(&container, "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('one'), ('two')");
    set_target(&world).await;
    let first = good(&world, 0).await;
    sql(&container, "INSERT INTO notes VALUES ('three')");
    ask(&world).await;
    let second = good(&world, 1).await;
    let rows = |run: &BackupRun| run.manifest.as_ref().expect("it is good").rows["public.notes"];
    assert_eq!((rows(&first), rows(&second)), (2, 3));
    let manifest = second.manifest.clone().expect("it is good");
    assert!(manifest.source_version.starts_with("PostgreSQL 15."), "{}", manifest.source_version);

    let (repository, password) = (place(&world), password(&world).await);
    let snapshot = manifest.snapshot.hex();
    let dump = restic(&repository, &password, &["dump", snapshot, "/e2e-production-db.dump"]);
    assert_eq!(dump.len() as u64, manifest.content.bytes);
    let file = world.folder.path().join("restored.dump");
    std::fs::write(&file, dump).expect("is written");
    let inside = format!("{container}:/tmp/restored.dump");
    docker(&["cp", file.to_str().expect("is text"), &inside]).expect("is copied");
    let listed = docker(&["exec", &container, "pg_restore", "-l", "/tmp/restored.dump"]).expect("is a dump");
    assert!(listed.contains("TABLE DATA public notes"), "{listed}");
    let data = ["exec", &container, "pg_restore", "-a", "-t", "notes", "-f", "-", "/tmp/restored.dump"];
    let data = docker(&data).expect("is a dump");
    assert!(["one", "two", "three"].iter().all(|note| data.contains(note)), "{data}");

    // Havre itself is there as well, without the key that opens what is sealed in it.
    let look = async || {
        let runs = world.api.find::<BackupRunList>("/v1/backup-runs?what=platform").await?.runs;
        runs.into_iter().find(|run| run.status == RunState::Good)
    };
    let platform = until("the platform is saved", look).await.manifest.expect("it is good");
    let tar = restic(&repository, &password, &["dump", platform.snapshot.hex(), "/platform.tar"]);
    let key = std::fs::read(world.config.with_file_name("master.key")).expect("there is one");
    let holds = |part: &[u8]| tar.windows(part.len()).any(|window| window == part);
    assert!(holds(b"SQLite format 3\0") && holds(b"[control]"));
    assert!(!holds(key.trim_ascii()), "the key is in the backup");
    restic(&repository, &password, &["check", "--read-data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_in_the_middle_of_a_run_says_so_and_goes_on() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    let container = database(&world).await;
    sql(&container, "CREATE TABLE big AS SELECT g, md5(g::text) AS text FROM generate_series(1, 500000) g");
    set_target(&world).await;
    let begun = async || runs(&world).await?.into_iter().find(|run| run.begun_at.is_some());
    let cut = until("it begins", begun).await;
    // To open a repository takes a second by design.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.process("control").kill();
    world.start_control().await;
    let over = async || runs(&world).await?.into_iter().find(|run| run.id == cut.id && run.is_final);
    let cut = until("the run is over", over).await;
    // A fast machine may have been done.
    assert!(cut.status == RunState::Good || cut.failure.contains("Havre ended while it ran"), "{cut:?}");
    let others = usize::from(cut.status == RunState::Good);
    if others > 0 {
        ask(&world).await;
    }
    // One that was cut off is made again without being asked for.
    let after = good(&world, others).await;
    assert_eq!(after.manifest.expect("it is good").rows["public.big"], 500_000);
    let password = password(&world).await;
    restic(&place(&world), &password, &["check", "--read-data"]);
}
