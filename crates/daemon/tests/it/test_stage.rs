//! The test stage of a push, with real stages of a Dockerfile and real tasks.

use std::time::{SystemTime, UNIX_EPOCH};

use havre_api::pipeline::Pipeline;
use havre_core::pipeline::Stage;

use crate::push::{ended, pipelines, repository};
use crate::world::docker::IMAGE;
use crate::world::spec::HOST;
use crate::world::{World, until};

/// The service, with these lines as its tests.
fn manifest(test: &str) -> String {
    let text = r#"project = "e2e"

[services.app]
dockerfile = "Dockerfile"
port = 3000
health = "/health"
hosts = ["HOST"]
https = "off"
memory = "256MB"
stop_grace = "5s"

[services.app.test]
TEST

[environments.production]
branch = "main"
"#;
    text.replace("HOST", HOST).replace("TEST", test)
}

const TARGET: &str = "target = \"test\"";

/// A stage with this step, and beside it the one that runs. Never the layers of an earlier run.
fn dockerfile(version: &str, step: &str) -> String {
    let once = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    format!(
        "FROM {IMAGE} AS base\nRUN echo {once}\nFROM base AS test\nRUN {step}\n\
         FROM base\nENV BEHAVIOUR=well-behaved APP_VERSION={version}\n"
    )
}

fn command(script: &str, timeout: &str) -> String {
    format!("command = [\"node\", \"-e\", \"{script}\"]\ntimeout = \"{timeout}\"\nmemory = \"256MB\"")
}

/// Containers of tests that are there.
fn left(world: &World) -> Vec<String> {
    world.containers().into_iter().filter(|name| name.contains("-test-app-")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_tests_fail_deploys_nothing_and_says_what_failed() {
    let world = World::start().await;
    let repository = repository(&world).await;
    repository.write("havre.toml", &manifest(TARGET));
    repository.write("Dockerfile", &dockerfile("1", "echo tests: $((1 + 2)) passed"));
    repository.commit("Tests that pass");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("i1: succeeded, production has it"), "{told}");
    let live = world.containers();

    repository.write("Dockerfile", &dockerfile("2", "echo tests: $((1 + 2)) failed && false"));
    repository.commit("A step that fails");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well, "the branch has moved: {told}");
    assert!(told.contains("i2: FAILED (test)") && told.contains("failed && false: "), "{told}");
    assert!(told.contains("tests: 3 failed"), "its last lines: {told}");

    let script = "console.log('tests: ' + (1 + 2) + ' failed'); process.exitCode = 7";
    repository.write("havre.toml", &manifest(&command(script, "1m")));
    repository.write("Dockerfile", &dockerfile("3", "true"));
    repository.commit("A command that fails");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("i3: FAILED (test)") && told.contains("it ended with code 7"), "{told}");
    assert!(told.contains("tests: 3 failed"), "its last lines: {told}");

    repository.write("havre.toml", &manifest(&command("setInterval(() => {}, 1000)", "3s")));
    repository.commit("A command that hangs");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("it did not end within 3s and was stopped"), "{told}");
    assert_eq!(world.containers(), live, "users have what they had, and nothing of the tests is left");
    let found = pipelines(&world).await;
    for failed in &found[..3] {
        assert!(failed.parts.iter().all(|part| part.deployment.is_none()), "{failed:?}");
        let builds: Vec<&str> =
            failed.parts.iter().filter(|part| !part.is_test).map(|part| part.build_state.as_str()).collect();
        assert_eq!(builds, ["cancelled"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_tests_pass_is_deployed() {
    let world = World::start().await;
    let repository = repository(&world).await;
    let script = "console.log(process.env.CI, process.env.HAVRE_SERVICE, process.env.APP_VERSION)";
    repository.write("havre.toml", &manifest(&command(script, "1m")));
    repository.write("Dockerfile", &dockerfile("1", "true"));
    repository.commit("Say hello");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains(" passed") && told.contains("i1: succeeded"), "{told}");
    let found = pipelines(&world).await.remove(0);
    let stages: Vec<Stage> = found.stages.iter().map(|one| one.stage).collect();
    assert_eq!(stages, [Stage::Checkout, Stage::Test, Stage::Build, Stage::Deploy]);
    let [test, build] = &found.parts[..] else { panic!("{found:?}") };
    assert_eq!((test.is_test, test.build_state.as_str()), (true, "passed"));
    // The image of the tests is that of the service: its layers were there.
    let steps = build.steps.expect("it was built");
    assert!(steps.cached > 0 && steps.cached <= steps.total, "{steps:?}");
    assert!(test.started_at.is_some() && test.ended_at <= build.started_at);
    assert_eq!(left(&world), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_while_it_tests_goes_on() {
    let mut world = World::start().await;
    let repository = repository(&world).await;
    repository.write("havre.toml", &manifest(&command("setTimeout(() => {}, 4000)", "1m")));
    repository.write("Dockerfile", &dockerfile("1", "true"));
    repository.commit("Say hello");
    let mut pushing = repository.begin_push(&["main"]);
    until("the command runs", async || {
        let found: Pipeline = world.api.find("/v1/pipelines/i1").await?;
        (found.state.name() == "testing" && !left(&world).is_empty()).then_some(())
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
    let begun = begun.filter(|moment| moment.what == "start" && moment.purpose == "test").count();
    assert_eq!(begun, 2, "the test was run again from its start");
}
