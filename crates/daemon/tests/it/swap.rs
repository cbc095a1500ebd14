//! A restored database takes the name services use, and an upgrade by a real newer PostgreSQL: services get what they should, and the old one stays.

use havre_api::backup::BackupTarget;
use havre_api::database::Database;
use havre_api::environment::{Action, ApplyRequest, ApplyResponse};
use havre_api::restore::{CreateRestoreResponse, Restore};
use havre_api::swap::{Swap, SwapResponse};
use havre_api::task::ExecRequest;
use havre_core::service::spec::{ImageSource, ServiceSpec};
use hyper::Method;
use serde_json::{Value, json};

use crate::world::api::no_env;
use crate::world::docker::{docker, need};
use crate::world::spec::{argv, faults, with};
use crate::world::{ENVIRONMENT, SERVICE, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives them.
const POSTGRES: &str = "postgres:15";
const NEWER: &str = "postgres:17";
const NAME: &str = "swapped";

fn db(version: u8) -> Value {
    json!({ "name": NAME, "engine": "postgres", "version": version, "memory": "256MB", "cpus": "1" })
}

/// A worker out of the image of the database, so that it has `psql`.
fn worker() -> ServiceSpec {
    let mut spec = with(faults("well-behaved", "1"), |work| {
        work.source = ImageSource::Image { reference: POSTGRES.parse().expect("a reference") };
        work.port = None;
        work.command = Some(argv(&["sleep", "infinity"]));
        work.uses = vec![NAME.parse().expect("a name")];
    });
    spec.routes = Vec::new();
    spec
}

async fn ready(world: &World, name: &str) -> Database {
    let path = format!("{ENVIRONMENT}/databases/{name}");
    let look = async || {
        let found = world.api.find::<Database>(&path).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    until("the database answers", look).await
}

fn sql(database: &Database, text: &str) -> String {
    let name = database.name.as_str();
    let container = format!("havre-{}-{}-{name}-production-e2e", database.id, database.task);
    let words = ["exec", &container, "psql", "-X", "-A", "-t", "-U", "postgres", "-d", name, "-c", text];
    docker(&words).expect("the statement runs").trim().to_owned()
}

/// What a statement answers inside the task of the service.
async fn ask(world: &World, text: &str) -> String {
    let request =
        ExecRequest { argv: argv(&["psql", "-Atc", text]), task: None, terminal: None, env: no_env() };
    let (said, error) = world.api.session(&format!("{SERVICE}/exec"), &request, b"").await.text();
    format!("{said}{error}").trim().to_owned()
}

/// A service that uses a database with two notes, and a place for backups.
async fn used() -> World {
    need(POSTGRES);
    let world = World::start_sealed().await;
    let place = world.folder.path().join("repository");
    let target = json!({ "location": { "kind": "folder", "path": place }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &target).await;
    let request = json!({ "services": [], "databases": [db(15)] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    world.deploy_well(&worker()).await;
    ready(&world, NAME).await;
    let filled =
        ask(&world, "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('one'), ('two')").await;
    assert!(filled.ends_with("INSERT 0 2"), "{filled}");
    world
}

/// Asks for a swap and waits for its end.
async fn swap(world: &World, mut body: Value) -> Swap {
    body["confirm"] = json!(NAME);
    let path = format!("{ENVIRONMENT}/databases/{NAME}/swaps");
    let asked: SwapResponse = world.api.send(Method::POST, &path, &body).await;
    let path = format!("/v1/swaps/{}", asked.swap.expect("it is no dry run").id);
    ended(world, &path).await
}

async fn ended(world: &World, path: &str) -> Swap {
    let mut seen = String::new();
    loop {
        let look =
            async || world.api.find::<Swap>(path).await.filter(|swap| swap.is_final || swap.status != seen);
        let found = until("the swap goes on", look).await;
        if found.is_final {
            return found;
        }
        seen = found.status;
    }
}

/// A good backup, restored beside the database.
async fn restored(world: &World) -> Database {
    let what = json!({ "kind": "database", "project": "e2e", "environment": "production", "database": NAME });
    let request = json!({ "what": what });
    let path = format!("{ENVIRONMENT}/databases/{NAME}/restores");
    let _: Value = world.api.send(Method::POST, "/v1/backup-runs", &request).await;
    let ask = async || {
        let answer = world.api.call(Method::POST, &path, b"{}".to_vec()).await.ok()?;
        answer
            .0
            .is_success()
            .then(|| serde_json::from_slice::<CreateRestoreResponse>(&answer.1).expect("an answer"))
    };
    let asked = until("there is a good backup", ask).await;
    let path = format!("/v1/restores/{}", asked.restore.expect("it is no dry run").id);
    let over = async || world.api.find::<Restore>(&path).await.filter(|restore| restore.is_final);
    let restore = until("the restore is over", over).await;
    assert_eq!(restore.status, "ready", "{}", restore.failure);
    ready(world, asked.database.as_str()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_takes_the_name_and_gives_it_back() {
    let mut world = used().await;
    let new = restored(&world).await;
    // By mistake; what comes after the backup stays in the old one.
    assert_eq!(ask(&world, "DELETE FROM notes WHERE text = 'two'").await, "DELETE 1");
    assert_eq!(ask(&world, "INSERT INTO notes VALUES ('three')").await, "INSERT 0 1");

    let path = format!("{ENVIRONMENT}/databases/{NAME}/swaps");
    let body = json!({ "with": new.name, "confirm": NAME });
    let asked: SwapResponse = world.api.send(Method::POST, &path, &body).await;
    let path = format!("/v1/swaps/{}", asked.swap.expect("it is no dry run").id);
    // In the middle of it.
    world.process("control").kill();
    world.start_control().await;
    let done = ended(&world, &path).await;
    assert_eq!(done.status, "succeeded", "{}", done.failure);
    assert_eq!(ask(&world, "SELECT string_agg(text, ' ' ORDER BY text) FROM notes").await, "one two");
    assert_eq!(ask(&world, "INSERT INTO notes VALUES ('four')").await, "INSERT 0 1");
    let old = ready(&world, done.aside.as_str()).await;
    assert_eq!(sql(&old, "SELECT string_agg(text, ' ' ORDER BY text) FROM notes"), "one three");
    let inside = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'app\\_%'";
    assert_eq!(sql(&old, inside), "0", "no service is left in it");
    let current = ready(&world, NAME).await;
    assert_eq!(current.id, new.id);

    let locked = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/{}", old.name)).await?;
        found.roles.is_empty().then_some(())
    };
    until("its roles are gone", locked).await;
    let done = swap(&world, json!({ "with": old.name })).await;
    assert_eq!(done.status, "succeeded", "{}", done.failure);
    assert_eq!(ask(&world, "SELECT string_agg(text, ' ' ORDER BY text) FROM notes").await, "one three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_keeps_every_row_and_the_old_server() {
    need(NEWER);
    let world = used().await;
    let done = swap(&world, json!({ "version": 17 })).await;
    assert_eq!(done.status, "succeeded", "{}", done.failure);
    let new = ready(&world, NAME).await;
    assert_eq!(new.spec.version, 17);
    assert!(sql(&new, "SHOW server_version").starts_with("17."));
    assert_eq!(ask(&world, "SELECT string_agg(text, ' ' ORDER BY text) FROM notes").await, "one two");
    assert_eq!(ask(&world, "INSERT INTO notes VALUES ('three')").await, "INSERT 0 1");
    let old = ready(&world, done.aside.as_str()).await;
    assert!(sql(&old, "SHOW server_version").starts_with("15."));
    assert_eq!(sql(&old, "SELECT count(*) FROM notes"), "2");
    // `havre.toml` says the new version from now on, and nothing changes by it.
    let request = ApplyRequest {
        services: vec![worker()],
        databases: vec![serde_json::from_value(db(17)).expect("a specification")],
        dry_run: true,
        prune: false,
    };
    let answer: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let mut named = answer.databases.iter().filter(|change| change.database.as_str() == NAME);
    assert!(named.next().is_some_and(|change| change.action == Action::Unchanged), "{answer:?}");
}
