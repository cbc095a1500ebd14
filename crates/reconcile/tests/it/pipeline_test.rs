//! The test stage of a pipeline: nothing is built or deployed before every test has passed, and nothing of a test stays.

use havre_build::builder::{BuildError, BuildRequest};
use havre_build::fake::{Script as BuildScript, artifact_of};
use havre_core::artifact::{Artifact, Digest};
use havre_core::build::report::Steps;
use havre_core::build::{Build, Purpose, State as BuildState};
use havre_core::event::Actor;
use havre_core::id::{BuildId, PipelineId, ServiceId};
use havre_core::pipeline::{Pipeline, Stage, State};
use havre_core::service::Place;
use havre_core::service::spec::{ImageSource, Work};
use havre_core::task::spec::{Purpose as TaskPurpose, derive_test};
use havre_engine::Engine;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::Script;
use havre_engine::task::EngineTask;
use havre_reconcile::build;

use crate::pipeline::{pipelines, push, settle, turn};
use crate::world::{Control, Outside, spec, work};

/// Two services; the first has the tests that `api` says, the second those that `worker` says.
fn manifest(api: &str, worker: &str) -> String {
    let test = |service: &str, keys: &str| match keys {
        "" => String::new(),
        keys => format!("[services.{service}.test]\n{keys}\n"),
    };
    format!(
        r#"project = "dropit"
[services.api]
dockerfile = "Dockerfile"
port = 3000
health = "/health"
hosts = ["api.example"]
https = "off"
{}
[services.worker]
dockerfile = "worker/Dockerfile"
context = "worker"
{}"#,
        test("api", api),
        test("worker", worker)
    )
}

const COMMAND: &str = "command = [\"npm\", \"test\"]\ntimeout = \"2m\"";
const TARGET: &str = "target = \"test\"\ntimeout = \"2m\"";

/// The image that a build of that number makes, and how its tasks behave.
pub(crate) fn image(outside: &Outside, number: i64, service: &str, script: Script) -> Digest {
    let place = Place {
        project: "dropit".parse().unwrap(),
        environment: "production".parse().unwrap(),
        service: service.parse().unwrap(),
    };
    let request = BuildRequest {
        id: BuildId::new(number),
        service: ServiceId::new(1),
        place,
        spec: spec(work("1")),
        context: "context".into(),
        credentials: Vec::new(),
        secrets: std::collections::BTreeMap::new(),
    };
    let Artifact::Image { id, .. } = artifact_of(&request) else { panic!("not an image") };
    outside.engine.add_built_image(&id, ServiceId::new(1), script);
    id
}

pub(crate) async fn last(control: &Control) -> Pipeline {
    pipelines(control).await.pop().unwrap()
}

pub(crate) async fn builds(control: &Control, id: PipelineId) -> Vec<Build> {
    control.world.store.read(move |view| view.list_pipeline_builds(id)).await.unwrap()
}

/// Kind and state of each build, in their order.
async fn states(control: &Control, id: PipelineId) -> Vec<(&'static str, &'static str)> {
    let kind = |build: &Build| if build.is_test() { "test" } else { "build" };
    builds(control, id).await.iter().map(|build| (kind(build), build.state.name())).collect()
}

/// The engine's tasks of tests.
async fn tasks(outside: &Outside) -> Vec<EngineTask> {
    let mut tasks = outside.engine.list_tasks().await.unwrap();
    tasks.retain(|task| matches!(task.purpose, TaskPurpose::Test { .. }));
    tasks
}

/// Nothing was deployed, and what failed is the stage of the tests; why.
async fn failed(control: &Control) -> String {
    for service in control.world.store.read(|view| view.list_services()).await.unwrap() {
        assert_eq!(control.deployments(service.id).await, []);
    }
    assert_eq!(tasks(&control.outside).await, []);
    match last(control).await.state {
        State::Failed { stage: Stage::Test, reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn contexts(outside: &Outside) -> Vec<String> {
    let entries = std::fs::read_dir(outside.path("builds")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut contexts: Vec<String> = names.filter(|name| name.ends_with(".tar")).collect();
    contexts.sort();
    contexts
}

/// The stage of the Dockerfile that a build was asked for.
fn target(request: &BuildRequest) -> Option<&str> {
    let Work::Tasks(work) = &request.spec.work else { return None };
    let ImageSource::Dockerfile(source) = &work.source else { return None };
    source.target.as_ref().map(|target| target.as_str())
}

#[tokio::test]
async fn tests_that_pass_come_before_the_builds() {
    let outside = Outside::new();
    let control = outside.control();
    let images = [
        image(&outside, 1, "api", Script::exits(0, &["3 passing"])),
        image(&outside, 3, "worker", Script::runs()),
    ];
    let lines = vec![
        ("[1/2] FROM node".to_owned(), "cached".to_owned()),
        ("[2/2] RUN npm ci".to_owned(), "done".to_owned()),
    ];
    outside.builder.script("api", BuildScript { lines, result: Ok(None) });
    push(&outside, "main", &[("havre.toml", &manifest(COMMAND, TARGET))]);
    settle(&control).await;
    let done = last(&control).await;
    assert!(matches!(done.state, State::Succeeded { .. }), "{:?}", done.state);
    let order: Vec<(i64, Option<String>)> = outside
        .builder
        .requests()
        .iter()
        .map(|request| (request.id.row(), target(request).map(str::to_owned)))
        .collect();
    assert_eq!(order, [(1, None), (3, Some("test".to_owned())), (2, None), (4, None)]);
    let expected = [("test", "passed"), ("build", "succeeded"), ("test", "passed"), ("build", "succeeded")];
    assert_eq!(states(&control, done.id).await, expected);
    let stages: Vec<Stage> = done.stages.iter().map(|one| one.stage).collect();
    assert_eq!(stages, [Stage::Checkout, Stage::Test, Stage::Build, Stage::Deploy]);
    assert!(done.stages.iter().all(|one| one.until.is_some()));
    let first = &builds(&control, done.id).await[0];
    assert_eq!(first.report.steps, Steps { total: 2, cached: 1 });
    assert!(first.report.started_at.is_some() && first.report.ended_at.is_some());
    // What a test leaves is its log.
    assert_eq!(tasks(&outside).await, []);
    let removed: Vec<String> = outside
        .engine
        .done()
        .into_iter()
        .filter(|done| done.operation == Operation::RemoveImage && done.is_ok)
        .map(|done| done.subject)
        .collect();
    assert_eq!(removed, images.map(|image| image.to_string()));
    assert_eq!(contexts(&outside), [] as [&str; 0]);
    let log = std::fs::read_to_string(outside.path("builds/b1.log")).unwrap();
    assert!(log.contains("\"step\":\"npm test\",\"text\":\"3 passing\""), "{log}");
}

#[tokio::test]
async fn a_test_command_that_fails_ends_everything() {
    let outside = Outside::new();
    let control = outside.control();
    image(&outside, 1, "api", Script::exits(3, &["1 passing", "2 failing"]));
    push(&outside, "main", &[("havre.toml", &manifest(COMMAND, TARGET))]);
    settle(&control).await;
    let reason = failed(&control).await;
    assert_eq!(reason, "test b1 of api failed at step npm test: it ended with code 3");
    let id = last(&control).await.id;
    let expected =
        [("test", "failed"), ("build", "cancelled"), ("test", "cancelled"), ("build", "cancelled")];
    assert_eq!(states(&control, id).await, expected);
    let BuildState::Failed { last_lines, .. } = &builds(&control, id).await[0].state else {
        panic!("it failed")
    };
    assert_eq!(*last_lines, ["1 passing", "2 failing"]);
    assert_eq!(outside.builder.requests().len(), 1, "nothing else was begun");
    build::tidy(&control.world).await;
    assert_eq!(contexts(&outside), [] as [&str; 0], "what nobody builds is gone");
}

#[tokio::test]
async fn a_step_that_fails_is_named() {
    let outside = Outside::new();
    let control = outside.control();
    let error = BuildError::DockerfileFailed {
        step: "[test 3/3] RUN npm test".to_owned(),
        message: "exit code: 1".to_owned(),
        last_lines: vec!["2 failing".to_owned()],
    };
    outside.builder.fail_next("api", error);
    push(&outside, "main", &[("havre.toml", &manifest(TARGET, ""))]);
    settle(&control).await;
    let reason = failed(&control).await;
    assert_eq!(reason, "test b1 of api failed at step [test 3/3] RUN npm test: exit code: 1");
    assert_eq!(outside.builder.requests().len(), 1);
    // The next push is looked at like any other.
    push(&outside, "main", &[("havre.toml", &manifest(TARGET, ""))]);
    settle(&control).await;
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
}

#[tokio::test]
async fn a_test_that_hangs_is_stopped() {
    let outside = Outside::new();
    let control = outside.control();
    image(&outside, 1, "api", Script::runs());
    let begun = control.world.now();
    push(&outside, "main", &[("havre.toml", &manifest(COMMAND, ""))]);
    settle(&control).await;
    let reason = failed(&control).await;
    assert_eq!(reason, "test b1 of api failed at step npm test: it did not end within 2m and was stopped");
    assert_eq!(outside.engine.count(Operation::StopTask), 1);
    assert!(control.world.now().since(begun).as_secs() >= 120);
}

#[tokio::test]
async fn a_stage_that_hangs_is_stopped() {
    let outside = Outside::new();
    let control = outside.control();
    outside.builder.hold("api");
    push(&outside, "main", &[("havre.toml", &manifest(TARGET, ""))]);
    settle(&control).await;
    let reason = failed(&control).await;
    assert_eq!(reason, "test b1 of api failed: it did not end within 2m and was stopped");
    assert_eq!(outside.builder.cancelled(), [BuildId::new(1)]);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_is_a_failure() {
    let outside = Outside::new();
    let control = outside.control();
    image(&outside, 1, "api", Script::cannot_start("no such file"));
    push(&outside, "main", &[("havre.toml", &manifest(COMMAND, ""))]);
    settle(&control).await;
    let reason = failed(&control).await;
    assert!(reason.starts_with("test b1 of api failed at step npm test: could not start"), "{reason}");
}

/// Turns until the tests may begin, and begins none.
pub(crate) async fn until_testing(control: &Control) -> Pipeline {
    for _ in 0..5 {
        turn(control).await;
        let found = last(control).await;
        if matches!(found.state, State::Testing { .. }) {
            return found;
        }
    }
    panic!("never testing: {:?}", pipelines(control).await);
}

#[tokio::test]
async fn a_test_that_was_interrupted_is_run_again() {
    let outside = Outside::new();
    let control = outside.control();
    let id = image(&outside, 1, "api", Script::runs());
    push(&outside, "main", &[("havre.toml", &manifest(COMMAND, ""))]);
    let row = until_testing(&control).await;
    // What a control that is killed in the middle of the test leaves: a row that says so, and the task.
    let test = builds(&control, row.id).await.remove(0);
    let Purpose::Test(asked) = &test.purpose else { panic!("the first one is the test") };
    let service = control.service(test.service).await;
    outside.engine.ensure_task(&derive_test(&service, &test, asked, id)).await.unwrap();
    let now = control.world.now();
    let running = BuildState::Running { since: now };
    let write = control
        .world
        .store
        .write(now, Actor::Havre, move |tx| tx.set_build_state(test.id, &BuildState::Queued, running));
    write.await.unwrap();
    drop(control);
    assert_eq!(tasks(&outside).await.len(), 1);

    // The image is made again, and this time the tests end.
    image(&outside, 1, "api", Script::exits(0, &[]));
    let control = outside.control();
    settle(&control).await;
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }), "{:?}", last(&control).await);
    assert_eq!(tasks(&outside).await, []);
    let started = outside.engine.done().into_iter();
    let started =
        started.filter(|done| done.operation == Operation::EnsureTask && done.subject.contains("-test-"));
    assert_eq!(started.count(), 2, "the one of before was not taken for its own");
}

#[tokio::test]
async fn a_crash_at_any_step_changes_nothing() {
    for steps in 0..18 {
        let outside = Outside::new();
        for (number, service) in [(1, "api"), (3, "worker")] {
            image(&outside, number, service, Script::exits(0, &[]));
        }
        let control = outside.control();
        push(&outside, "main", &[("havre.toml", &manifest(COMMAND, TARGET))]);
        for step in 0..steps {
            match step % 3 {
                0 => turn(&control).await,
                1 => control.activate().await,
                _ => control.edge_catches_up().await,
            }
        }
        drop(control);
        let control = outside.control();
        settle(&control).await;
        let all = pipelines(&control).await;
        let [only] = &all[..] else { panic!("after {steps} steps: {all:?}") };
        assert!(matches!(only.state, State::Succeeded { .. }), "after {steps} steps: {:?}", only.state);
        assert_eq!(builds(&control, only.id).await.len(), 4, "after {steps} steps");
        assert_eq!(tasks(&outside).await, []);
    }
}

#[tokio::test]
async fn a_pipeline_that_is_closed_while_it_tests_runs_nothing() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, "main", &[("havre.toml", &manifest(TARGET, TARGET))]);
    let row = until_testing(&control).await;
    let now = control.world.now();
    control
        .world
        .store
        .write(now, Actor::Local, move |tx| {
            for build in tx.list_pipeline_builds(row.id)? {
                tx.set_build_state(build.id, &build.state, BuildState::Cancelled { at: now })?;
            }
            tx.set_pipeline_state(row.id, &row.state, State::Cancelled { at: now })
        })
        .await
        .unwrap();
    settle(&control).await;
    assert!(matches!(last(&control).await.state, State::Cancelled { .. }));
    assert_eq!(outside.builder.requests().len(), 0);
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_removed() {
    let outside = Outside::new();
    let control = outside.control();
    let id = image(&outside, 1, "api", Script::runs());
    push(&outside, "main", &[("havre.toml", &manifest(COMMAND, ""))]);
    let row = until_testing(&control).await;
    assert_eq!(contexts(&outside), ["b1.tar", "b2.tar", "b3.tar"]);
    let mut test = builds(&control, row.id).await.remove(0);
    let Purpose::Test(asked) = test.purpose.clone() else { panic!("the first one is the test") };
    let service = control.service(test.service).await;
    test.id = BuildId::new(99);
    outside.engine.ensure_task(&derive_test(&service, &test, &asked, id)).await.unwrap();
    std::fs::write(outside.path("builds/b99.tar"), "").unwrap();
    control.world.engine_changed();
    build::tidy(&control.world).await;
    assert_eq!(tasks(&outside).await, []);
    assert_eq!(contexts(&outside), ["b1.tar", "b2.tar", "b3.tar"], "those of open builds stay");
}
