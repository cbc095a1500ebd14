//! Images of private registries, with the real registry and the real Docker: who gets which credentials, and what happens at a
//! limit.

use std::time::Duration;

use havre_api::access::CreateTokenResponse;
use havre_api::pipeline::PipelineList;
use havre_api::registry::{Registry as Shown, RegistryList};
use havre_core::build::State as BuildState;
use havre_core::service::spec::{ImageSource, ServiceSpec};
use hyper::Method;

use crate::world::World;
use crate::world::registry::{PASSWORD, Pretender, Registry, USER};
use crate::world::repository::Repository;
use crate::world::spec::{HOST, argv, faults, with};

/// A service that serves one file out of the tiny image.
fn tiny(reference: &str) -> ServiceSpec {
    with(faults("well-behaved", "1"), |work| {
        work.source = ImageSource::Image { reference: reference.parse().expect("a reference") };
        work.command = Some(argv(&["/bin/busybox", "httpd", "-f", "-p", "3000", "-h", "/www"]));
        work.health.path = "/index.html".parse().expect("a path");
    })
}

async fn set(world: &World, host: &str, password: &str) {
    let request = serde_json::json!({ "user": USER, "password": password });
    let _: Shown = world.api.send(Method::PUT, &format!("/v1/registries/{host}"), &request).await;
}

/// Deploys and wants the build to fail; why it did.
async fn refused(world: &World, spec: &ServiceSpec) -> String {
    let build = world.begin(spec).await;
    match world.built(build).await {
        BuildState::Failed { reason, .. } => reason,
        other => panic!("the build ended {}", other.name()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_right_credentials_get_an_image_and_only_their_registry_gets_them() {
    let mut registry = Registry::start();
    let other = Pretender::start("401 Unauthorized", true);
    let spec = tiny(&registry.put("team/app:1"));
    let world = World::start_sealed().await;
    let hint = format!("havre registry set {}", registry.host());
    let reason = refused(&world, &spec).await;
    assert!(reason.contains(&hint), "without: {reason}");
    set(&world, &registry.host(), "planted-wrong").await;
    let reason = refused(&world, &spec).await;
    assert!(reason.contains(&hint) && !reason.contains("planted"), "with wrong ones: {reason}");
    set(&world, &registry.host(), PASSWORD).await;
    world.deploy_well(&spec).await;

    let list: RegistryList = world.api.get("/v1/registries").await;
    assert_eq!(list.registries.len(), 1);
    assert_eq!(list.registries[0].host.as_str(), registry.host());
    // Another registry on the same machine.
    let reason = refused(&world, &tiny(&other.reference("team/app:1"))).await;
    assert!(reason.contains("denied access"), "{reason}");
    let heads = other.heads();
    assert!(!heads.is_empty(), "it was asked");
    assert!(!heads.iter().any(|head| head.to_ascii_lowercase().contains("authorization:")), "{heads:?}");

    // Credentials that cannot be opened are not the same as none.
    let store = world.config.with_file_name("data").join("store.sqlite");
    let store = rusqlite::Connection::open(store).expect("the store is there");
    store.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    store.execute("UPDATE registries SET sealed_password = x'00'", []).expect("it is written");
    let reason = refused(&world, &spec).await;
    assert!(reason.starts_with("could not open sealed_password of 127.0.0.1:"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_limit_the_image_that_is_here_serves() {
    let mut registry = Pretender::start("429 Too Many Requests", false);
    let world = World::start().await;
    let reason = refused(&world, &tiny(&registry.reference("team/absent:1"))).await;
    assert!(reason.contains("limits how often") && reason.contains("try again"), "{reason}");
    let reference = registry.hold("team/app:1");
    world.deploy_well(&tiny(&reference)).await;
    let mut events = world.api.events(0).await;
    let told = async {
        loop {
            let event = events.next().await.expect("control goes on");
            let text = serde_json::to_string(&event).expect("an event is JSON");
            if text.contains("present_image_used") {
                return text;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("it was told");
    assert!(told.contains(&reference), "{told}");
}

const MANIFEST: &str = r#"project = "e2e"

[services.app]
dockerfile = "Dockerfile"
port = 3000
health = "/index.html"
hosts = ["HOST"]
https = "off"
memory = "256MB"
stop_grace = "5s"

[environments.production]
branch = "main"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_pulls_its_base_image_with_the_credentials_of_its_registry() {
    let mut registry = Registry::start();
    let base = registry.put("team/base:1");
    let world = World::start_sealed().await;
    let request = serde_json::json!({ "name": "git" });
    let made: CreateTokenResponse = world.api.send(Method::POST, "/v1/tokens", &request).await;
    let remote = format!("http://x:{}@{}/git/e2e.git", made.token, world.api_address());
    let repository = Repository::new(&remote);
    repository.write("havre.toml", &MANIFEST.replace("HOST", HOST));
    let serve = "CMD [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"3000\", \"-h\", \"/www\"]";
    repository.write("Dockerfile", &format!("FROM {base}\n{serve}\n"));
    repository.commit("Say hello");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("FAILED (build)"), "{told}");
    let list: PipelineList = world.api.get("/v1/projects/e2e/pipelines?limit=1").await;
    let BuildState::Failed { reason, .. } = world.built(list.pipelines[0].parts[0].build).await else {
        panic!("the build did not fail: {told}");
    };
    let hint = format!("havre registry set {}", registry.host());
    assert!(reason.contains(&hint), "{reason}");

    set(&world, &registry.host(), PASSWORD).await;
    repository.commit("Say it again");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("succeeded, production has it"), "{told}");
}
