//! From a moved branch to what users get: what follows, what does not, and what a crash changes.

use havre_build::builder::BuildError;
use havre_build::fake::artifact_of;
use havre_core::artifact::Artifact;
use havre_core::build::State as BuildState;
use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::pipeline::{Pipeline, State};
use havre_core::source::{BranchName, CommitId, RefName};
use havre_engine::fake::script::Script;
use havre_reconcile::pipeline;
use havre_source::SourceError;
use havre_source::fake::FakeFile;

use crate::world::{Control, Outside};

const MANIFEST: &str = r#"
project = "dropit"
[services.api]
dockerfile = "Dockerfile"
port = 3000
health = "/health"
hosts = ["api.example"]
https = "off"
[services.worker]
dockerfile = "worker/Dockerfile"
context = "worker"
[environments.production]
branch = "main"
[environments.staging]
branch = "develop"
hosts = { api = ["api.staging.example"] }
"#;

pub(crate) fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

pub(crate) fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

/// Pushes a commit with these files beside the usual ones.
pub(crate) fn push(outside: &Outside, name: &str, files: &[(&str, &str)]) -> CommitId {
    let mut all = vec![
        ("havre.toml", FakeFile::text(MANIFEST)),
        ("Dockerfile", FakeFile::text("FROM scratch\n")),
        ("worker/Dockerfile", FakeFile::text("FROM scratch\n")),
    ];
    for (path, text) in files {
        all.retain(|(known, _)| known != path);
        all.push((path, FakeFile::text(text)));
    }
    outside.source.push(&project(), &branch(name), &all)
}

/// What builds have made is where tasks are started, as with a real engine.
fn know_images(outside: &Outside) {
    for request in outside.builder.requests() {
        if let Artifact::Image { id, .. } = artifact_of(&request) {
            outside.engine.add_image(&id, None, Script::runs());
        }
    }
}

pub(crate) async fn turn(control: &Control) {
    know_images(&control.outside);
    pipeline::notice(&control.world).await.unwrap();
    pipeline::activate(&control.world).await.unwrap();
    control.background().await;
}

pub(crate) async fn pipelines(control: &Control) -> Vec<Pipeline> {
    let mut all = control.world.store.read(|view| view.list_pipelines(&project(), 100)).await.unwrap();
    all.reverse();
    all
}

/// Goes on until no pipeline is open.
pub(crate) async fn settle(control: &Control) {
    for _ in 0..50 {
        turn(control).await;
        control.activate().await;
        control.edge_catches_up().await;
        if pipelines(control).await.iter().all(|one| one.state.is_final()) {
            return;
        }
        outside_time(control);
    }
    panic!("pipelines stay open: {:?}", pipelines(control).await);
}

async fn verdict(control: &Control, name: &str) -> Option<Verdict> {
    let reference = RefName::from(&branch(name));
    let row = control.world.store.read(move |view| view.find_ref(&project(), &reference)).await.unwrap();
    row.and_then(|row| row.verdict)
}

#[tokio::test]
async fn a_commit_is_built_whole_and_then_deployed() {
    let outside = Outside::new();
    let control = outside.control();
    let commit = push(&outside, "main", &[]);
    settle(&control).await;
    let [only] = &pipelines(&control).await[..] else { panic!("one push, one pipeline") };
    assert!(matches!(only.state, State::Succeeded { .. }), "{:?}", only.state);
    assert_eq!((&only.commit, only.environment.as_str()), (&commit, "production"));
    let id = only.id;
    let builds = control.world.store.read(move |view| view.list_pipeline_builds(id)).await.unwrap();
    let names: Vec<&str> = builds.iter().map(|build| build.spec.name.as_str()).collect();
    assert_eq!(names, ["api", "worker"]);
    assert!(builds.iter().all(|build| build.commit == commit.as_str()));
    // What interrupted or finished work leaves: nothing.
    assert_eq!(std::fs::read_dir(outside.path("builds/checkout")).unwrap().count(), 0);
    turn(&control).await;
    assert_eq!(pipelines(&control).await.len(), 1, "the same commit starts nothing again");
}

#[tokio::test]
async fn nothing_is_deployed_when_one_build_fails() {
    let outside = Outside::new();
    let control = outside.control();
    let failed = BuildError::DockerfileFailed {
        step: "[2/2] RUN false".to_owned(),
        message: "exit code: 1".to_owned(),
        last_lines: Vec::new(),
    };
    outside.builder.fail_next("worker", failed);
    push(&outside, "main", &[]);
    settle(&control).await;
    let all = pipelines(&control).await;
    let State::Failed { reason, .. } = &all[0].state else { panic!("{:?}", all[0].state) };
    assert!(reason.contains("failed at step [2/2] RUN false: exit code: 1"), "{reason}");
    let open = control.world.store.read(|view| view.list_open_builds()).await.unwrap();
    assert_eq!(open, [], "the other build is closed as well");
    for service in control.world.store.read(|view| view.list_services()).await.unwrap() {
        assert_eq!(control.deployments(service.id).await, []);
    }
}

#[tokio::test]
async fn branches_lead_to_environments_or_say_why_not() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, "develop", &[]);
    push(&outside, "feature/x", &[]);
    settle(&control).await;
    let all = pipelines(&control).await;
    let environments: Vec<&str> = all.iter().map(|one| one.environment.as_str()).collect();
    assert_eq!(environments, ["staging"]);
    let Some(Verdict::Ignored { reason }) = verdict(&control, "feature/x").await else {
        panic!("is ignored")
    };
    assert!(reason.contains("no environment of havre.toml follows the branch feature/x"), "{reason}");
}

#[tokio::test]
async fn a_commit_that_cannot_be_read_fails_where_it_matters() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, "main", &[("havre.toml", "project = \"dropit\"\n[services.api]\nprot = 1\n")]);
    push(&outside, "other", &[("havre.toml", "")]);
    settle(&control).await;
    let all = pipelines(&control).await;
    let [only] = &all[..] else { panic!("{all:?}") };
    let State::Failed { reason, .. } = &only.state else { panic!("{:?}", only.state) };
    assert!(reason.contains("prot"), "{reason}");
    assert!(matches!(verdict(&control, "other").await, Some(Verdict::Ignored { .. })));
    for (files, words) in [
        (
            ("havre.toml", "project = \"other\"\n[services.api]\nimage = \"a:1\"\n"),
            "this is the repository of dropit",
        ),
        (("worker/.dockerignore", "["), "worker/.dockerignore is wrong"),
        (
            (
                "havre.toml",
                "project = \"dropit\"\n[services.api]\nroot = \"docs\"\nport = 1\nhosts = [\"a.example\"]\n",
            ),
            "could not tell what",
        ),
    ] {
        push(&outside, "main", &[files]);
        settle(&control).await;
        let last = pipelines(&control).await.pop().unwrap();
        let State::Failed { reason, .. } = &last.state else { panic!("{:?}", last.state) };
        assert!(reason.contains(words), "{reason}");
    }
    // A way back is a push like any other.
    push(&outside, "main", &[]);
    settle(&control).await;
    assert!(matches!(pipelines(&control).await.pop().unwrap().state, State::Succeeded { .. }));
}

#[tokio::test]
async fn a_repository_in_trouble_is_asked_again() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, "main", &[]);
    pipeline::notice(&control.world).await.unwrap();
    let trouble = SourceError::TimedOut { what: "list".to_owned(), limit: "30s".to_owned() };
    outside.source.fail_next(trouble);
    assert!(pipeline::activate(&control.world).await.is_err());
    settle(&control).await;
    assert!(matches!(pipelines(&control).await[0].state, State::Succeeded { .. }));
}

#[tokio::test]
async fn the_newest_of_many_pushes_wins() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, "main", &[]);
    turn(&control).await;
    turn(&control).await;
    for number in 0..9 {
        push(&outside, "main", &[("number", &format!("{number}"))]);
        turn(&control).await;
    }
    settle(&control).await;
    let all = pipelines(&control).await;
    assert_eq!(all.len(), 10);
    let ends: Vec<&str> = all.iter().map(|one| one.state.name()).collect();
    let built = ends.iter().filter(|name| **name == "succeeded").count();
    assert_eq!((built, ends[9]), (2, "succeeded"), "{ends:?}");
    assert_eq!(ends.iter().filter(|name| **name == "superseded").count(), 8, "{ends:?}");
}

#[tokio::test]
async fn a_crash_at_any_step_changes_nothing() {
    for steps in 0..14 {
        let outside = Outside::new();
        let control = outside.control();
        let commit = push(&outside, "main", &[]);
        for step in 0..steps {
            match step % 3 {
                0 => turn(&control).await,
                1 => control.activate().await,
                _ => control.edge_catches_up().await,
            }
        }
        // Everything this process knew is gone; the disk, the engine and the repository stay.
        drop(control);
        let control = outside.control();
        settle(&control).await;
        let all = pipelines(&control).await;
        let [only] = &all[..] else { panic!("after {steps} steps: {all:?}") };
        assert!(matches!(only.state, State::Succeeded { .. }), "after {steps} steps: {:?}", only.state);
        let id = only.id;
        let builds = control.world.store.read(move |view| view.list_pipeline_builds(id)).await.unwrap();
        assert_eq!(builds.len(), 2, "after {steps} steps");
        assert!(builds.iter().all(|build| build.commit == commit.as_str()));
    }
}

#[tokio::test]
async fn a_closed_pipeline_stays_closed() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, "main", &[]);
    turn(&control).await;
    turn(&control).await;
    let open = pipelines(&control).await.pop().unwrap();
    let now = control.world.now();
    control
        .world
        .store
        .write(now, Actor::Local, move |tx| {
            for build in tx.list_pipeline_builds(open.id)? {
                tx.set_build_state(build.id, &build.state, BuildState::Cancelled { at: now })?;
            }
            tx.set_pipeline_state(open.id, &open.state, State::Cancelled { at: now })
        })
        .await
        .unwrap();
    settle(&control).await;
    assert!(matches!(pipelines(&control).await[0].state, State::Cancelled { .. }));
    for service in control.world.store.read(|view| view.list_services()).await.unwrap() {
        assert_eq!(control.deployments(service.id).await, []);
    }
}

/// Drains and waits have their time.
fn outside_time(control: &Control) {
    control.outside.clock.advance(havre_core::quantity::Span::seconds(5).duration());
}
