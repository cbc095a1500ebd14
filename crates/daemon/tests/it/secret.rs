//! Secrets on the real Docker: the program sees them, a new value restarts it without a build and without a failed request, and
//! the value lies nowhere on our disk.

use std::path::Path;
use std::time::Duration;

use havre_api::deployment::{DeploymentAccepted, RollbackRequest};
use havre_api::event::Event;
use havre_api::secret::SetSecretsResponse;
use havre_core::name::EnvKey;
use havre_core::service::spec::ServiceSpec;
use hyper::Method;

use crate::world::docker::docker;
use crate::world::load::ask_once;
use crate::world::spec::{HOST, argv, faults, with};
use crate::world::{SERVICE, World, assert_succeeded};

const SECRETS: &str = "/v1/projects/e2e/secrets";
const FIRST: &str = "planted-first-value";
const SECOND: &str = "planted-second-value";

/// What the program calls its version is a secret here, so that its answers say whether it has it.
fn secretive() -> ServiceSpec {
    with(faults("well-behaved", ""), |work| {
        let name: EnvKey = "APP_VERSION".parse().expect("a name");
        work.env.remove(&name);
        work.secrets.insert(name);
        work.release_command = Some(argv(&["node", "-e", "console.log('have ' + process.env.APP_VERSION)"]));
    })
}

async fn set(world: &World, value: &str) -> SetSecretsResponse {
    let request = serde_json::json!({ "secrets": { "APP_VERSION": value } });
    world.api.send(Method::POST, SECRETS, &request).await
}

async fn seen(world: &World) -> String {
    ask_once(world.address, HOST).await.expect("it answers").version
}

/// Image and environment of the only container.
fn inspect(world: &World) -> (String, String) {
    let containers = world.containers();
    assert_eq!(containers.len(), 1, "{containers:?}");
    let asked = |format: &str| docker(&["inspect", "--format", format, &containers[0]]).expect("it is there");
    (asked("{{.Image}}"), asked("{{json .Config.Env}}"))
}

/// Files below a folder with these bytes in them.
pub(crate) fn files_with(folder: &Path, planted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, planted));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(planted.len()).any(|part| part == planted)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_value_restarts_without_a_build_and_lies_nowhere_on_disk() {
    let world = World::start_sealed().await;
    let failed = world.deploy(&secretive()).await;
    assert_eq!(failed.state.name(), "failed");
    assert!(failed.failure.contains("`havre secret set APP_VERSION --env production`"), "{}", failed.failure);
    assert_eq!(world.containers(), Vec::<String>::new());

    assert!(set(&world, FIRST).await.deployments.is_empty(), "nothing is live");
    world.deploy_well(&secretive()).await;
    assert_eq!(seen(&world).await, FIRST);
    let (image, env) = inspect(&world);
    assert!(env.contains(FIRST), "Docker shows variables to who may ask it");

    let load = world.load();
    let answer = set(&world, SECOND).await;
    let [deployment] = answer.deployments.as_slice() else { panic!("{answer:?}") };
    assert_succeeded(&world.ended(deployment.id).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    load.finish().await.assert_no_failure(100);
    assert_eq!(seen(&world).await, SECOND);
    assert_eq!(inspect(&world).0, image, "the same image");

    let accepted: DeploymentAccepted =
        world.api.send(Method::POST, &format!("{SERVICE}/rollback"), &RollbackRequest::default()).await;
    assert_succeeded(&world.ended(accepted.deployment.expect("it is no dry run").id).await);
    assert_eq!(seen(&world).await, FIRST, "a rollback brings the old value back");

    let events: Vec<Event> = world.api.lines("/v1/events?after=0").await;
    let told: String = events.iter().map(|event| format!("{event:?} {}\n", event.text)).collect();
    assert!(told.contains("have [secret APP_VERSION]"), "{told}");
    assert!(!told.contains("planted"), "{told}");
    let folder = world.config.parent().expect("a folder");
    assert_eq!(files_with(folder, b"planted-"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_opened_is_never_an_empty_one() {
    let world = World::start_sealed().await;
    set(&world, FIRST).await;
    let store = world.config.with_file_name("data").join("store.sqlite");
    let store = rusqlite::Connection::open(store).expect("the store is there");
    store.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    store.execute("UPDATE secrets SET sealed_value = x'00'", []).expect("it is written");
    let failed = world.deploy(&secretive()).await;
    assert_eq!(failed.state.name(), "failed");
    assert!(failed.failure.contains("e2e//APP_VERSION/1"), "{}", failed.failure);
    assert!(failed.failure.contains("havre secret set"), "{}", failed.failure);
    assert_eq!(world.containers(), Vec::<String>::new());
}
