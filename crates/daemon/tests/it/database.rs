//! A real PostgreSQL: a service gets in by its variables and nobody else does, what it wrote outlives its container, and control may die
//! while it is made.

use havre_api::build::BuildAccepted;
use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use havre_api::task::ExecRequest;
use havre_core::service::spec::{ImageSource, ServiceSpec};
use hyper::Method;
use serde_json::{Value, json};

use crate::world::api::no_env;
use crate::world::docker::{docker, need, volumes};
use crate::world::spec::{argv, faults, with};
use crate::world::{ENVIRONMENT, SERVICE, World, assert_succeeded, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";
const STAGING: &str = "/v1/projects/e2e/environments/staging";

fn db() -> Value {
    json!({ "name": "db", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1" })
}

/// A worker out of the image of the database, so that it has `psql`; its release command writes a note.
fn worker(uses: &[&str]) -> ServiceSpec {
    let mut spec = with(faults("well-behaved", "1"), |work| {
        work.source = ImageSource::Image { reference: POSTGRES.parse().expect("a reference") };
        work.port = None;
        work.command = Some(argv(&["sleep", "infinity"]));
        work.uses = uses.iter().map(|name| name.parse().expect("a name")).collect();
        if !uses.is_empty() {
            let write = "CREATE TABLE IF NOT EXISTS notes (text text); INSERT INTO notes VALUES ('kept')";
            work.release_command = Some(argv(&["psql", "-v", "ON_ERROR_STOP=1", "-c", write]));
        }
    });
    spec.routes = Vec::new();
    spec
}

/// Applies the database alone.
async fn apply(world: &World) {
    let request = json!({ "services": [], "databases": [db()] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
}

/// The database once it answers, at this task or a later one.
async fn ready(world: &World, task: u32) -> Database {
    let path = format!("{ENVIRONMENT}/databases/db");
    let look = async || {
        let found = world.api.find::<Database>(&path).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready" && found.task >= task).then_some(found)
    };
    until("the database answers", look).await
}

/// Runs a program inside the task of a service; what it wrote.
async fn run(world: &World, service: &str, words: &[&str]) -> (String, String) {
    let request = ExecRequest { argv: argv(words), task: None, terminal: None, env: no_env() };
    world.api.session(&format!("{service}/exec"), &request, b"").await.text()
}

fn container(database: &Database) -> String {
    format!("havre-{}-{}-db-production-e2e", database.id, database.task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_in_by_its_variables_and_what_it_wrote_outlives_the_server() {
    need(POSTGRES);
    let world = World::start_sealed().await;
    apply(&world).await;
    world.deploy_well(&worker(&["db"])).await;
    let before = ready(&world, 1).await;
    // By the address, as a program would; and without one, as `psql` finds PGHOST and the others by itself.
    let query = "psql \"$DATABASE_URL\" -Atc 'SELECT session_user, current_user, text FROM notes'";
    let expected = ("app_a|app|kept\n".to_owned(), String::new());
    assert_eq!(run(&world, SERVICE, &["bash", "-c", query]).await, expected);
    assert_eq!(run(&world, SERVICE, &["psql", "-Atc", "SELECT text FROM notes"]).await.0, "kept\n");

    docker(&["kill", &container(&before)]).expect("it runs");
    let after = ready(&world, before.task + 1).await;
    assert_eq!(run(&world, SERVICE, &["bash", "-c", query]).await, expected, "it came back with its data");
    assert_eq!(volumes(&world.installation).expect("docker answers").len(), 1);

    // No password in an argument, no port of the machine, no network but its own.
    let of = |format: &str| docker(&["inspect", "--format", format, &container(&after)]).expect("it runs");
    let environment = of("{{json .Config.Env}}");
    let password = environment.split("POSTGRES_PASSWORD=").nth(1).and_then(|rest| rest.split('"').next());
    let password = password.expect("the contract of the image");
    assert!(!of("{{json .Config.Cmd}} {{json .Args}}").contains(password));
    assert_eq!(of("{{json .NetworkSettings.Ports}}").trim(), "{}");
    assert_eq!(of("{{len .NetworkSettings.Networks}}").trim(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_environment_reaches_it_neither_by_name_nor_by_address() {
    need(POSTGRES);
    let world = World::start_sealed().await;
    apply(&world).await;
    let database = ready(&world, 1).await;
    let request = json!({ "services": [worker(&[])] });
    let _: ApplyResponse = world.api.send(Method::PUT, STAGING, &request).await;
    let path = format!("{STAGING}/services/app");
    let accepted: BuildAccepted = world.api.send(Method::POST, &format!("{path}/builds"), &()).await;
    let deployment = world.deployment_of(accepted.build.id).await;
    assert_succeeded(&world.ended(deployment).await);

    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", format, &container(&database)]).expect("it runs");
    for host in ["db", address.trim()] {
        let (said, _) = run(&world, &path, &["pg_isready", "-t", "2", "-h", host]).await;
        assert!(said.contains("no response") || said.contains("no attempt"), "{host}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_while_it_is_made_makes_it_once() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    apply(&world).await;
    // At the latest when its server starts for the first time.
    let starts = |world: &World| {
        let moments = world.watch.moments();
        moments.iter().filter(|moment| moment.what == "start" && moment.purpose == "database").count()
    };
    until("its task starts", async || (starts(&world) == 1).then_some(())).await;
    world.process("control").kill();
    world.start_control().await;
    let made = ready(&world, 1).await;
    assert_eq!((made.task, starts(&world)), (1, 1));
    world.deploy_well(&worker(&["db"])).await;
    assert_eq!(run(&world, SERVICE, &["psql", "-Atc", "SELECT text FROM notes"]).await.0, "kept\n");
}
