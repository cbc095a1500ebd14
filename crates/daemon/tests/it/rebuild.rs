//! The server is gone: its containers, its volumes, its data. Out of the repository, the recovery kit and the master key, another one has the
//! same rows again, and nothing of it is ever put over what is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use havre_api::backup::{BackupKit, BackupRun, BackupRunList, BackupTarget};
use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use havre_core::backup::run::RunState;
use hyper::Method;
use serde_json::json;

use crate::world::docker::{self, docker, need};
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";
const FILL: &str = "CREATE TABLE notes (id serial PRIMARY KEY, text text NOT NULL); \
    INSERT INTO notes (text) SELECT md5(g::text) FROM generate_series(1, 3000) g;";
const SUM: &str = "SELECT count(*) || md5(string_agg(t::text, '|' ORDER BY t::text)) FROM notes t";

/// The database, once it answers; its status and its container.
async fn ready(world: &World) -> String {
    let look = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/db")).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    let found = until("the database answers", look).await;
    format!("havre-{}-{}-db-production-e2e", found.id, found.task)
}

fn try_sql(container: &str, text: &str) -> Option<String> {
    let psql =
        ["exec", container, "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "db"];
    let words = [psql.as_slice(), &["-c", text]].concat();
    docker(&words).ok().map(|said| said.trim().to_owned())
}

/// The newest good run: an older one of the same hour goes when it is there.
async fn newest(world: &World, what: &str) -> Option<BackupRun> {
    let runs = world.api.find::<BackupRunList>(&format!("/v1/backup-runs?what={what}")).await?.runs;
    runs.into_iter().find(|run| run.status == RunState::Good)
}

/// A good run that is not this one.
async fn good(world: &World, what: &str, other: Option<BackupRun>) -> BackupRun {
    let other = other.map(|run| run.id);
    let look = async || newest(world, what).await.filter(|run| Some(run.id) != other);
    until(&format!("a backup of {what} is good"), look).await
}

/// A database with rows, saved, and after that the platform, which knows of it. Answers the password of the kit and what the rows are.
async fn saved(world: &World, repository: &Path) -> (String, String) {
    let db = json!({
        "name": "db", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "daily": 7 } },
    });
    let request = json!({ "services": [], "databases": [db] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let container = ready(world).await;
    try_sql(&container, FILL).expect("the statement runs");
    let rows = try_sql(&container, SUM).expect("the statement runs");
    let target = json!({ "location": { "kind": "folder", "path": repository }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &target).await;
    good(world, "database/e2e/production/db", None).await;
    let first = good(world, "platform", None).await;
    let asked = json!({ "what": { "kind": "platform" } });
    let _: BackupRunList = world.api.send(Method::POST, "/v1/backup-runs", &asked).await;
    good(world, "platform", Some(first)).await;
    let kit: BackupKit = world.api.send(Method::POST, "/v1/backup-targets/disk/kit", &()).await;
    assert!(kit.page.contains("havred recover --from "), "{}", kit.page);
    let rest = kit.page.split("Password, with its dashes:").nth(1).expect("it is on the page");
    let password = rest.lines().map(str::trim).find(|line| !line.is_empty()).expect("it is on the page");
    (password.to_owned(), rows)
}

fn recover(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_havred"));
    command.arg("recover").arg("--config").arg(config).args(arguments);
    command.output().expect("havred starts")
}

fn text(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{error}")
}

/// The same configuration on an empty disk.
fn another_disk(world: &World) -> PathBuf {
    let text = std::fs::read_to_string(&world.config).expect("it is there");
    let folder = world.folder.path();
    let at = |name: &str| folder.join(name).display().to_string();
    let text = text.replace(&at("data"), &at("other-data")).replace(&at("master.key"), &at("other.key"));
    std::fs::write(&world.config, text).expect("it is written");
    folder.join("other-data")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_has_the_same_rows_again() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    let folder = world.folder.path().to_owned();
    let repository = folder.join("repository");
    let (password, rows) = saved(&world, &repository).await;
    let secret = folder.join("password");
    std::fs::write(&secret, format!("{password}\n")).expect("it is written");
    let from = [
        "--from",
        repository.to_str().expect("is text"),
        "--password-file",
        secret.to_str().expect("is text"),
        "--old-server-is-gone",
    ];
    let with = |more: &[&str]| recover(&world.config, &[from.as_slice(), more].concat());

    let refused = with(&[]);
    assert!(
        !refused.status.success() && text(&refused).contains("nothing is put over a store"),
        "{}",
        text(&refused)
    );

    // The server is gone.
    world.process("control").kill();
    docker::remove_all(&world.installation).expect("all of it goes");
    let data = another_disk(&world);
    let with = |more: &[&str]| recover(&world.config, &[from.as_slice(), more].concat());

    let refused = with(&[]);
    assert!(text(&refused).contains("master key"), "{}", text(&refused));
    let key = folder.join("master.key");
    let key = ["--master-key-file", key.to_str().expect("is text")];
    let alive = recover(&world.config, &[&from[..4], &key].concat());
    assert!(!alive.status.success() && text(&alive).contains("may still be alive"), "{}", text(&alive));
    let listed = with(&["--list"]);
    assert!(listed.status.success() && text(&listed).contains(" bytes"), "{}", text(&listed));
    let dry = with(&[key.as_slice(), &["--dry-run"]].concat());
    assert!(dry.status.success(), "{}", text(&dry));
    assert!(text(&dry).contains("database e2e/production/db: put its backup of"), "{}", text(&dry));
    assert!(!data.join("store.sqlite").exists() && !data.join("recover").exists());

    let back = with(&key);
    assert!(back.status.success(), "{}", text(&back));
    assert!(text(&back).contains("What is left to do"), "{}", text(&back));
    assert!(!text(&back).contains(&password));
    assert!(data.join("store.sqlite").exists() && !data.join("recover").exists());
    assert!(data.join("recovered-etc/havred.toml").exists());
    let again = with(&key);
    assert!(text(&again).contains("nothing is put over a store"), "{}", text(&again));

    world.start_control().await;
    // It may answer before its rows are in: only once they are, it is ready for good.
    let same = async || {
        let container = ready(&world).await;
        try_sql(&container, SUM).filter(|found| *found == rows)
    };
    until("the rows are back", same).await;
    // And backups go on in the same repository.
    let before = newest(&world, "platform").await;
    let asked = json!({ "what": { "kind": "platform" } }).to_string().into_bytes();
    // One may be under way already.
    world.api.call(Method::POST, "/v1/backup-runs", asked).await.expect("control answers");
    good(&world, "platform", before).await;
}
