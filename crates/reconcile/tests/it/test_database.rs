//! Throw-away databases of tests: there while a test runs, told to it and to nobody else, and gone however it ends.

use havre_core::build::{Build, Purpose, State as BuildState};
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::pipeline::{Stage, State};
use havre_core::task::spec::{Purpose as TaskPurpose, test_network};
use havre_decide::database::throw_away::derive_all;
use havre_engine::Engine;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::Script;
use havre_engine::network::NetworkSpec;
use havre_reconcile::build;
use havre_store::database::throw_away_passwords;

use crate::database::{add_postgres, server};
use crate::pipeline::{push, settle};
use crate::pipeline_test::{builds, image, last, until_testing};
use crate::world::{Control, Outside};

const MANIFEST: &str = r#"project = "dropit"
[services.api]
dockerfile = "Dockerfile"
port = 3000
health = "/health"
hosts = ["api.example"]
https = "off"
[services.api.test]
command = ["npm", "test"]
timeout = "2m"
databases = ["db"]
[databases.db]
engine = "postgres"
version = 16
"#;

/// Pushes a commit whose test uses a database.
fn push_it(outside: &Outside) {
    push(outside, "main", &[("havre.toml", MANIFEST)]);
}

/// What the engine has of the test: its containers and its network.
async fn left(outside: &Outside) -> Vec<String> {
    let tasks = outside.engine.list_tasks().await.unwrap().into_iter();
    let of_tests = tasks
        .filter(|task| matches!(task.purpose, TaskPurpose::Test { .. } | TaskPurpose::TestDatabase { .. }));
    let networks = outside.engine.network_names().into_iter().filter(|name| name.ends_with("-test"));
    of_tests.map(|task| task.name).chain(networks).collect()
}

async fn rows(control: &Control) -> Vec<BuildId> {
    control.world.store.read(|view| view.list_test_networks()).await.unwrap()
}

/// Why the pipeline failed at its tests; nothing is left of them.
async fn failed(control: &Control) -> String {
    assert_eq!(left(&control.outside).await, [] as [&str; 0]);
    assert_eq!(rows(control).await, []);
    match last(control).await.state {
        State::Failed { stage: Stage::Test, reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Names of containers that were asked for, in order.
fn asked_for(outside: &Outside) -> Vec<String> {
    let done = outside.engine.done().into_iter();
    done.filter(|done| done.operation == Operation::EnsureTask).map(|done| done.subject).collect()
}

/// The first test of the newest pipeline, as a control that is killed while it runs leaves its row.
async fn running(control: &Control) -> Build {
    let row = until_testing(control).await;
    let test = builds(control, row.id).await.remove(0);
    assert!(matches!(test.purpose, Purpose::Test(_)));
    let now = control.world.now();
    let (id, state) = (test.id, BuildState::Running { since: now });
    let write = control
        .world
        .store
        .write(now, Actor::Havre, move |tx| tx.set_build_state(id, &BuildState::Queued, state));
    write.await.unwrap();
    test
}

#[tokio::test]
async fn it_is_there_for_its_test_and_goes_with_it() {
    let outside = Outside::new();
    let control = outside.control();
    add_postgres(&outside, server(0));
    image(&outside, 1, "api", Script::exits(0, &["3 passing"]));
    push_it(&outside);
    settle(&control).await;
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }), "{:?}", last(&control).await);
    let asked = asked_for(&outside);
    let [database, test, ..] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(database, "havre-b1-database-1-db-production-dropit");
    assert!(test.starts_with("havre-b1-test-api-"), "{test}");
    assert_eq!(left(&outside).await, [] as [&str; 0]);
    assert_eq!(rows(&control).await, []);
    let log = std::fs::read_to_string(outside.path("builds/b1.log")).unwrap();
    assert!(log.contains("the database db answers") && log.contains("3 passing"), "{log}");
    // The database of the environment is another one, on its volume; nothing of the test is on one.
    assert!(!outside.engine.volume_names().iter().any(|name| name.contains("-b1-")));
}

#[tokio::test]
async fn its_test_is_told_how_to_get_in_and_meets_nothing_else() {
    let outside = Outside::new();
    let control = outside.control();
    add_postgres(&outside, server(0));
    image(&outside, 1, "api", Script::runs());
    push_it(&outside);
    // Until the test runs, and hangs.
    until_testing(&control).await;
    build::activate(&control.world).await.unwrap();
    let name = "havre-b1-test-api-production-dropit";
    let begun = std::time::Instant::now();
    while outside.engine.task_spec(name).is_none() {
        assert!(begun.elapsed().as_secs() < 20, "it does not begin: {:?}", asked_for(&outside));
        tokio::task::yield_now().await;
    }
    let spec = outside.engine.task_spec(name).expect("it has begun");
    assert_eq!(spec.private_network().as_deref(), Some("havre-b1-test"));
    let variables = outside.engine.variables(name).unwrap();
    let expected = format!("postgresql://api_a:{}@db:5432/db", variables["PGPASSWORD"]);
    assert_eq!(variables["DATABASE_URL"], expected);
    let database = outside.engine.task_spec("havre-b1-database-1-db-production-dropit").unwrap();
    assert_eq!(database.private_network(), spec.private_network());
    assert_eq!((database.volumes.len(), database.edge_address), (0, None));
    settle(&control).await;
    let reason = failed(&control).await;
    assert!(reason.contains("it did not end within 2m and was stopped"), "{reason}");
}

#[tokio::test]
async fn a_test_that_fails_leaves_nothing() {
    let outside = Outside::new();
    let control = outside.control();
    add_postgres(&outside, server(0));
    image(&outside, 1, "api", Script::exits(3, &[]));
    push_it(&outside);
    settle(&control).await;
    assert_eq!(failed(&control).await, "test b1 of api failed at step npm test: it ended with code 3");
}

#[tokio::test]
async fn one_that_does_not_come_up_is_named_and_the_test_is_not_begun() {
    let outside = Outside::new();
    let control = outside.control();
    add_postgres(&outside, server(2));
    image(&outside, 1, "api", Script::exits(0, &[]));
    push_it(&outside);
    settle(&control).await;
    let reason = failed(&control).await;
    assert_eq!(
        reason,
        "test b1 of api failed at step database db: the database db did not answer within 2m: 127.0.0.1:5432 - no response"
    );
    assert!(asked_for(&outside).iter().all(|name| !name.contains("-test-api-")), "{:?}", asked_for(&outside));
}

#[tokio::test]
async fn one_that_ends_says_why() {
    let outside = Outside::new();
    let control = outside.control();
    let script = Script::exits(1, &["FATAL: could not map anonymous shared memory"]);
    add_postgres(&outside, script);
    image(&outside, 1, "api", Script::exits(0, &[]));
    push_it(&outside);
    settle(&control).await;
    let reason = failed(&control).await;
    assert_eq!(reason, "test b1 of api failed at step database db: the database db ended with code 1");
    let id = last(&control).await.id;
    let BuildState::Failed { last_lines, .. } = &builds(&control, id).await[0].state else {
        panic!("it failed")
    };
    assert_eq!(*last_lines, ["FATAL: could not map anonymous shared memory"]);
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_a_failure() {
    let outside = Outside::new();
    let control = outside.control();
    image(&outside, 1, "api", Script::exits(0, &[]));
    push_it(&outside);
    settle(&control).await;
    let reason = failed(&control).await;
    assert!(reason.starts_with("test b1 of api failed at step database db: "), "{reason}");
}

/// What a control that is killed in the middle of a test leaves: its row says that it runs, and the engine has its network and its database.
async fn interrupted(control: &Control) -> Build {
    let outside = &control.outside;
    let test = running(control).await;
    let Purpose::Test(asked) = &test.purpose else { panic!("it is a test") };
    let id = test.id;
    let now = control.world.now();
    let reserve = control.world.store.write(now, Actor::Havre, move |tx| tx.reserve_test_network(id)).await;
    let subnet = reserve.unwrap();
    let network = NetworkSpec {
        name: test_network(id),
        gateway: subnet.replace(".0/24", ".1").parse().unwrap(),
        subnet,
        isolated: false,
        environment: None,
    };
    outside.engine.ensure_network(&network).await.unwrap();
    let service = control.service(test.service).await;
    let database = derive_all(&service, asked, vec![throw_away_passwords().unwrap()]).remove(0);
    let task = database.derive_task(&service, &test, "d".repeat(64).parse().unwrap());
    outside.engine.ensure_task(&task).await.unwrap();
    control.world.engine_changed();
    assert_eq!(left(outside).await.len(), 2);
    test
}

#[tokio::test]
async fn what_an_interrupted_test_left_is_removed_before_it_is_run_again() {
    let outside = Outside::new();
    let control = outside.control();
    add_postgres(&outside, server(0));
    image(&outside, 1, "api", Script::exits(0, &[]));
    push_it(&outside);
    interrupted(&control).await;
    drop(control);
    let control = outside.control();
    settle(&control).await;
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }), "{:?}", last(&control).await);
    assert_eq!(left(&outside).await, [] as [&str; 0]);
    assert_eq!(rows(&control).await, []);
    let begun = asked_for(&outside).into_iter().filter(|name| name.starts_with("havre-b1-database-1-"));
    assert_eq!(begun.count(), 2, "the one of before was not taken for its own");
}

#[tokio::test]
async fn what_a_test_that_is_over_left_is_removed() {
    let outside = Outside::new();
    let control = outside.control();
    add_postgres(&outside, server(0));
    image(&outside, 1, "api", Script::runs());
    push_it(&outside);
    let id = interrupted(&control).await.id;
    // While it is at work, nothing of it is touched.
    build::tidy(&control.world).await;
    assert_eq!(left(&outside).await.len(), 2);
    let now = control.world.now();
    let cancel = control.world.store.write(now, Actor::Local, move |tx| {
        let from = tx.get_build(id)?.state;
        tx.set_build_state(id, &from, BuildState::Cancelled { at: now })
    });
    cancel.await.unwrap();
    drop(control);
    let control = outside.control();
    build::tidy(&control.world).await;
    assert_eq!(left(&outside).await, [] as [&str; 0]);
    assert_eq!(rows(&control).await, []);
}
