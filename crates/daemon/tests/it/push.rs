//! From `git push` to what users get, with the real git on both sides.

use std::time::{SystemTime, UNIX_EPOCH};

use havre_api::access::CreateTokenResponse;
use havre_api::pipeline::{Pipeline, PipelineList};
use hyper::Method;

use crate::world::docker::IMAGE;
use crate::world::repository::Repository;
use crate::world::spec::manifest;
use crate::world::{World, until};

/// What its `havre.toml` says beyond the service.
const MANIFEST: &str = r#"
[environments.production]
branch = "main"
"#;

const LIST: &str = "/v1/projects/e2e/pipelines?limit=100";

fn dockerfile(version: &str) -> String {
    format!("FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION={version}\n")
}

/// A repository whose remote is the project's, with a token of the installation.
pub(crate) async fn repository(world: &World) -> Repository {
    let request = serde_json::json!({ "name": "git" });
    let made: CreateTokenResponse = world.api.send(Method::POST, "/v1/tokens", &request).await;
    let repository = Repository::new(&format!("http://x:{}@{}/git/e2e.git", made.token, world.api_address()));
    repository.write("havre.toml", &manifest(MANIFEST));
    repository.write("Dockerfile", &dockerfile("1"));
    repository
}

pub(crate) async fn pipelines(world: &World) -> Vec<Pipeline> {
    let list: PipelineList = world.api.find(LIST).await.expect("control answers");
    list.pipelines
}

pub(crate) async fn ended(world: &World, id: &str) -> Pipeline {
    let path = format!("/v1/pipelines/{id}");
    until("the pipeline ends", async || {
        world.api.find::<Pipeline>(&path).await.filter(|found| found.state.is_final())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_built_and_deployed_and_drops_no_request() {
    let world = World::start().await;
    let repository = repository(&world).await;
    let first = repository.commit("Say hello");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well, "{told}");
    assert!(
        told.contains("remote: i1: ") && told.contains("remote: i1: succeeded, production has it"),
        "{told}"
    );

    let load = world.load();
    repository.write("Dockerfile", &dockerfile("2"));
    let second = repository.commit("Say it again");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("remote: i2: succeeded"), "{told}");
    load.finish().await.assert_no_failure(10);

    let found = pipelines(&world).await;
    assert_eq!(found.iter().map(|one| one.commit.as_str()).collect::<Vec<_>>(), [&second, &first]);
    assert_eq!((found[0].subject.as_str(), found[0].author.as_str()), ("Say it again", "Ada"));
    assert_eq!(found[0].parts[0].deployment_state.as_deref(), Some("succeeded"));

    // The same repository, read back.
    let copy = tempfile::tempdir().expect("a folder");
    let remote = repository.git(&["remote", "get-url", "havre"]);
    let target = copy.path().join("copy").display().to_string();
    repository.git(&["clone", "--quiet", remote.trim(), &target]);
    assert_eq!(repository.git(&["-C", &target, "rev-parse", "HEAD"]).trim(), second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_follow_or_fails_says_why_and_changes_nothing() {
    let world = World::start().await;
    let repository = repository(&world).await;
    repository.commit("Say hello");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("succeeded"), "{told}");
    let live = world.containers();

    let (is_well, told) = repository.push(&["main:feature/x"]).await;
    assert!(
        is_well
            && told.contains("nothing follows: no environment of havre.toml follows the branch feature/x"),
        "{told}"
    );
    repository.commit("Only words [skip ci]");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("nothing follows: the commit's message says [skip ci]"), "{told}");

    repository.write("Dockerfile", &format!("{}RUN echo before the end && false\n", dockerfile("2")));
    repository.commit("Break it");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well, "the branch has moved: {told}");
    assert!(told.contains("FAILED (build)") && told.contains("before the end"), "{told}");

    repository.write("havre.toml", "project = \"e2e\"\n[services.app]\nprot = 3000\n");
    repository.commit("Misspell it");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("FAILED (checkout)") && told.contains("prot"), "{told}");

    for name in ["refs/notes/x", "refs/heads/$(id)", "refs/heads/a;b"] {
        let (is_well, told) = repository.push(&[&format!("main:{name}")]).await;
        assert!(!is_well && told.contains("cannot be pushed"), "{name}: {told}");
    }
    let wrong = format!("http://x:havre_{}@{}/git/e2e.git", "0".repeat(64), world.api_address());
    repository.git(&["remote", "set-url", "havre", &wrong]);
    let (is_well, told) = repository.push(&["main:other"]).await;
    assert!(!is_well && told.contains("Authentication failed"), "{told}");
    assert_eq!(world.containers(), live, "users have what they had");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_branch_is_neither_rewritten_nor_removed() {
    let world = World::start().await;
    let repository = repository(&world).await;
    let path = "/v1/projects/e2e/repository/protection";
    let protect = async |on: bool| {
        let request = serde_json::json!({ "branch": "main", "on": on });
        let _: havre_api::repository::ProtectResponse = world.api.send(Method::PUT, path, &request).await;
    };
    repository.commit("First [skip ci]");
    assert!(repository.push(&["main"]).await.0);
    protect(true).await;
    let second = repository.commit("Second [skip ci]");
    assert!(repository.push(&["main"]).await.0, "a step forward is fine");
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repository.commit("Another second [skip ci]");
    let (is_well, told) = repository.push(&["--force", "main"]).await;
    assert!(!is_well && told.contains("[remote rejected] main -> main (non-fast-forward)"), "{told}");
    let (is_well, told) = repository.push(&[":main"]).await;
    assert!(!is_well && told.contains("[remote rejected] main (branch main is protected"), "{told}");
    let shown: havre_api::repository::Repository = world.api.get("/v1/projects/e2e/repository").await;
    assert_eq!((shown.refs, shown.protected.len()), (Some(1), 1), "{shown:?}");
    assert!(repository.git(&["ls-remote", "havre", "main"]).starts_with(&second));
    protect(false).await;
    let (is_well, told) = repository.push(&["--force", "main"]).await;
    assert!(is_well, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_pushes_make_at_most_two_builds_and_the_newest_wins() {
    let world = World::start().await;
    let repository = repository(&world).await;
    // Never the layers of an earlier run: a build taken from Docker's cache would not last.
    let once = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let last = format!("COPY number .\nRUN sleep 25 && echo {once}\n");
    repository.write("Dockerfile", &format!("{}{last}", dockerfile("1")));
    for number in 0..10 {
        repository.write("number", &number.to_string());
        repository.commit(&format!("Push {number}"));
        let mut pushing = repository.begin_push(&["main"]);
        let head = repository.git(&["rev-parse", "HEAD"]);
        until("the push is noted", async || {
            let newest = pipelines(&world).await.into_iter().next()?;
            (newest.commit.as_str() == head.trim()).then_some(())
        })
        .await;
        // Who pushes leaves; the pipeline does not.
        pushing.kill().expect("it can be ended");
        pushing.wait().expect("it ends");
    }
    let newest = ended(&world, "i10").await;
    assert_eq!(newest.state.name(), "succeeded", "{newest:?}");
    let all = pipelines(&world).await;
    let built = all.iter().filter(|one| !one.parts.is_empty()).count();
    assert!(built <= 2, "{built} of ten pushes were built");
    assert!(all.iter().all(|one| one.state.is_final()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_in_each_stage_goes_on() {
    let mut world = World::start().await;
    let repository = repository(&world).await;
    for (number, stage) in ["queued", "checking_out", "building", "deploying"].iter().enumerate() {
        let version = format!("{}", number + 1);
        repository.write("Dockerfile", &format!("{}RUN sleep 1\n", dockerfile(&version)));
        repository.commit(&format!("Version {version}"));
        let mut pushing = repository.begin_push(&["main"]);
        let id = format!("i{version}");
        let path = format!("/v1/pipelines/{id}");
        // The first two pass so fast that they may be missed: then the next one is meant.
        let order = ["queued", "checking_out", "building", "deploying"];
        until("the stage is reached", async || {
            let found: Pipeline = world.api.find(&path).await?;
            let at = order.iter().position(|name| *name == found.state.name());
            (at.is_none() || at >= order.iter().position(|name| name == stage)).then_some(())
        })
        .await;
        world.process("control").kill();
        pushing.kill().expect("it can be ended");
        pushing.wait().expect("it ends");
        world.start_control().await;
        let found = ended(&world, &id).await;
        assert_eq!(found.state.name(), "succeeded", "killed while {stage}: {found:?}");
    }
}
