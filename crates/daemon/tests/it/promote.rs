//! Promotion: production gets the very image staging runs, without a build and without losing a request, and can go back.

use std::time::Instant;

use havre_api::access::CreateTokenResponse;
use havre_api::build::BuildList;
use havre_api::deployment::{DeploymentAccepted, RollbackRequest};
use havre_api::promotion::{PromoteRequest, PromoteResponse};
use havre_api::release::{Release, ReleaseList};
use havre_core::release::promotion::Reason;
use hyper::{Method, StatusCode};

use crate::world::docker::{IMAGE, docker};
use crate::world::load::ask_once;
use crate::world::repository::Repository;
use crate::world::spec::{HOST, manifest};
use crate::world::{ENVIRONMENT, SERVICE, World, assert_succeeded};

/// What its `havre.toml` says beyond the service.
const MANIFEST: &str = r#"
[environments.staging]
branch = "main"
hosts = { app = ["staging.example.org"] }

[environments.production]
branch = "release"
env = { app = { ONLY = "production" } }
"#;

const STAGING: &str = "/v1/projects/e2e/environments/staging/services/app";

async fn repository(world: &World) -> Repository {
    let request = serde_json::json!({ "name": "git" });
    let made: CreateTokenResponse = world.api.send(Method::POST, "/v1/tokens", &request).await;
    let repository = Repository::new(&format!("http://x:{}@{}/git/e2e.git", made.token, world.api_address()));
    repository.write("havre.toml", &manifest(MANIFEST));
    repository
}

/// Commits a version and pushes it to these branches, one after the other.
async fn push(repository: &Repository, version: &str, branches: &[&str]) -> String {
    let text = format!("FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION={version}\n");
    repository.write("Dockerfile", &text);
    let commit = repository.commit(&format!("Version {version}"));
    for branch in branches {
        let (is_well, told) = repository.push(&[*branch]).await;
        assert!(is_well && told.contains(": succeeded"), "{told}");
    }
    commit
}

async fn newest(world: &World, service: &str) -> Release {
    let mut list: ReleaseList = world.api.get(&format!("{service}/releases")).await;
    list.releases.remove(0)
}

/// Images of the containers of production, as Docker names them.
fn images(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for name in world.containers().iter().filter(|name| name.contains("-app-production-")) {
        let image = docker(&["inspect", "--format", "{{.Image}}", name]).expect("docker answers");
        found.push(image.trim().to_owned());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_brings_the_same_image_drops_no_request_and_can_be_rolled_back() {
    let world = World::start().await;
    let repository = repository(&world).await;
    push(&repository, "1", &["main", "main:release"]).await;
    let before = newest(&world, SERVICE).await;
    let commit = push(&repository, "2", &["main"]).await;
    let of_staging = newest(&world, STAGING).await;
    assert_eq!(ask_once(world.address, HOST).await.expect("it answers").version, "1", "staging is ahead");

    let promote = format!("{ENVIRONMENT}/promote");
    let mut request =
        PromoteRequest { from: "staging".parse().expect("is a name"), services: Vec::new(), dry_run: true };
    let plan: PromoteResponse = world.api.send(Method::POST, &promote, &request).await;
    assert_eq!(
        (&plan.promoted[0].before, &plan.promoted[0].artifact),
        (&Some(before.artifact.clone()), &of_staging.artifact)
    );

    let load = world.load();
    let begun = Instant::now();
    request.dry_run = false;
    let answer: PromoteResponse = world.api.send(Method::POST, &promote, &request).await;
    let asked = answer.promoted[0].deployment.as_ref().expect("it is no dry run").id;
    assert_succeeded(&world.ended(asked).await);
    eprintln!("promote: {} ms", begun.elapsed().as_millis());
    load.finish().await.assert_no_failure(50);

    let promoted = newest(&world, SERVICE).await;
    assert_eq!(promoted.artifact, of_staging.artifact);
    assert_eq!(promoted.promoted_from.as_ref().map(|from| from.release), Some(of_staging.id));
    assert_eq!((promoted.commit.as_str(), promoted.build), (commit.as_str(), None));
    assert!(promoted.size_bytes.is_some_and(|bytes| bytes > 0), "{promoted:?}");
    let env = &promoted.spec.tasks().expect("it has tasks").env;
    assert!(env.values().any(|value| value == "production"), "its own variables: {env:?}");
    let havre_core::artifact::Artifact::Image { id, .. } = &of_staging.artifact else { panic!("an image") };
    assert_eq!(images(&world), [id.to_string()]);
    assert_eq!(ask_once(world.address, HOST).await.expect("it answers").version, "2");
    let builds: BuildList = world.api.get(&format!("{SERVICE}/builds")).await;
    assert_eq!(builds.builds.len(), 1, "a promotion builds nothing");

    let body = serde_json::to_vec(&request).expect("is JSON");
    let (status, body) = world.api.call(Method::POST, &promote, body).await.expect("control answers");
    assert_eq!(status, StatusCode::CONFLICT, "{body:?}");
    request.dry_run = true;
    let plan: PromoteResponse = world.api.send(Method::POST, &promote, &request).await;
    assert_eq!(plan.skipped[0].reason, Reason::SameAlready);

    let accepted: DeploymentAccepted =
        world.api.send(Method::POST, &format!("{SERVICE}/rollback"), &RollbackRequest::default()).await;
    let asked = accepted.deployment.expect("it is no dry run");
    assert_eq!(asked.release, before.id);
    assert_succeeded(&world.ended(asked.id).await);
    assert_eq!(ask_once(world.address, HOST).await.expect("it answers").version, "1");
}
