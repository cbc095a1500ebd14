//! A real PostgreSQL for the tests of a push: they get in by its variables, users' data is not in it, and nothing of it stays.

use std::time::{SystemTime, UNIX_EPOCH};

use havre_api::pipeline::Pipeline;

use crate::push::{ended, repository};
use crate::world::docker::{need, networks};
use crate::world::{World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";

/// A worker out of the image of the database, so that it has `psql`; its test is this script. Worlds count builds from 1, each for itself, and
/// tests run beside each other, so each has names of its own.
fn manifest(name: &str, script: &str) -> String {
    let text = r#"project = "e2e"

[services.NAME]
dockerfile = "Dockerfile"
command = ["sleep", "infinity"]
memory = "256MB"
stop_grace = "5s"

[services.NAME.test]
command = ["bash", "-euc", "SCRIPT"]
databases = ["NAME-db"]
memory = "256MB"
timeout = "2m"

[databases.NAME-db]
engine = "postgres"
version = 15
memory = "256MB"

[environments.production]
branch = "main"
"#;
    text.replace("SCRIPT", script).replace("NAME", name)
}

/// Never the layers of an earlier run.
fn dockerfile() -> String {
    let once = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    format!("FROM {POSTGRES}\nENV ONCE={once}\n")
}

/// Containers and networks of tests that are there.
fn left(world: &World) -> Vec<String> {
    let containers = world.containers().into_iter();
    let of_tests = containers.filter(|name| {
        name.contains("-test-notes-") || name.contains("-test-slow-") || name.contains("-database-")
    });
    let networks = networks(&world.installation).expect("Docker answers").into_iter();
    of_tests.chain(networks.filter(|name| name.ends_with("-test"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_has_a_database_of_its_own_and_nothing_of_it_stays() {
    need(POSTGRES);
    let world = World::start_sealed().await;
    let repository = repository(&world).await;
    let script = "psql -qc 'CREATE TABLE notes (text text)'; psql -qc \\\"INSERT INTO notes VALUES ('seen')\\\"; \
        test $(psql -Atc 'SELECT session_user, text FROM notes') = 'notes_a|seen'; \
        test $(psql $DATABASE_URL -Atc 'SHOW fsync') = off";
    repository.write("havre.toml", &manifest("notes", script));
    repository.write("Dockerfile", &dockerfile());
    repository.commit("A test that writes");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("i1: succeeded"), "{told}");
    assert_eq!(left(&world), [] as [&str; 0]);

    // The next one meets an empty one.
    repository.write("havre.toml", &manifest("notes", "psql -Atc 'SELECT text FROM notes'"));
    repository.commit("A test that reads");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("i2: FAILED (test)") && told.contains("\"notes\" does not exist"), "{told}");
    assert_eq!(left(&world), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_while_a_test_has_a_database_leaves_nothing() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    let repository = repository(&world).await;
    repository.write("havre.toml", &manifest("slow", "psql -Atc 'SELECT 1'; sleep 4"));
    repository.write("Dockerfile", &dockerfile());
    repository.commit("A slow test");
    let mut pushing = repository.begin_push(&["main"]);
    until("the test runs beside its database", async || {
        let found: Pipeline = world.api.find("/v1/pipelines/i1").await?;
        (found.state.name() == "testing" && left(&world).len() == 3).then_some(())
    })
    .await;
    world.process("control").kill();
    pushing.kill().expect("it can be ended");
    pushing.wait().expect("it ends");
    world.start_control().await;
    let found = ended(&world, "i1").await;
    assert_eq!(found.state.name(), "succeeded", "{found:?}");
    assert_eq!(left(&world), [] as [&str; 0]);
    let begun = world.watch.moments().into_iter();
    let begun = begun.filter(|moment| moment.what == "start" && moment.purpose == "test-database").count();
    assert_eq!(begun, 2, "it was made again for the test that was run again");
}
