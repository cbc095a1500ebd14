//! Path filters: a push builds the services it touches, and says why it leaves the others as they are.

use havre_core::pipeline::{Cause, Pipeline, State};
use havre_store::NewPipeline;

use crate::pipeline::{pipelines, push, settle};
use crate::world::{Control, Outside};

const MANIFEST: &str = r#"project = "dropit"
[services.api]
dockerfile = "Dockerfile"
port = 3000
health = "/health"
hosts = ["api.example"]
https = "off"
paths = ["apps/api/**", "packages"]
paths_ignore = ["**/*.md"]
[services.worker]
dockerfile = "worker/Dockerfile"
context = "worker"
paths = ["worker"]
"#;

/// Pushes these files beside the usual ones; how the pipeline ended.
async fn pushed(control: &Control, files: &[(&str, &str)]) -> Pipeline {
    let mut all = vec![("havre.toml", MANIFEST)];
    for file in files {
        all.retain(|(path, _)| *path != file.0);
        all.push(*file);
    }
    push(&control.outside, "main", &all);
    settle(control).await;
    let last = pipelines(control).await.pop().unwrap();
    assert!(matches!(last.state, State::Succeeded { .. }), "{:?}", last.state);
    last
}

/// Services a pipeline has built, and those it has left.
async fn split(control: &Control, pipeline: &Pipeline) -> (Vec<String>, Vec<String>) {
    let id = pipeline.id;
    let builds = control.world.store.read(move |view| view.list_pipeline_builds(id)).await.unwrap();
    let built = builds.iter().map(|build| build.spec.name.to_string()).collect();
    (built, pipeline.untouched.iter().map(|one| one.service.to_string()).collect())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_push_builds_what_it_touches() {
    let outside = Outside::new();
    let control = outside.control();
    let first = pushed(&control, &[]).await;
    assert_eq!(split(&control, &first).await, (names(&["api", "worker"]), names(&[])), "nothing was live");

    let second = pushed(&control, &[("worker/main.js", "1")]).await;
    assert_eq!(split(&control, &second).await, (names(&["worker"]), names(&["api"])));
    let reason = format!(
        "the one path that changed since {}, which is live, is not among its `paths`",
        first.commit.short()
    );
    assert_eq!(second.untouched[0].reason, reason);

    // The file of the push before is gone again, which touches its service too.
    let third = pushed(&control, &[("packages/log/index.js", "1")]).await;
    assert_eq!(split(&control, &third).await, (names(&["api", "worker"]), names(&[])));

    // Compared with what is live, not with the push before: what was left then is looked at again.
    let fourth = pushed(&control, &[("packages/log/index.js", "1"), ("apps/api/README.md", "1")]).await;
    assert_eq!(split(&control, &fourth).await, (names(&[]), names(&["api", "worker"])));
    assert_eq!(fourth.stages.len(), 1, "it was read, and there was nothing to do");
    for service in control.world.store.read(|view| view.list_services()).await.unwrap() {
        let expected = if service.place.service.as_str() == "api" { 2 } else { 3 };
        assert_eq!(control.deployments(service.id).await.len(), expected, "{}", service.place);
    }
}

#[tokio::test]
async fn another_configuration_or_dockerfile_is_built() {
    let outside = Outside::new();
    let control = outside.control();
    pushed(&control, &[]).await;
    let other = MANIFEST.replace("port = 3000", "port = 3001");
    let second = pushed(&control, &[("havre.toml", &other)]).await;
    assert_eq!(split(&control, &second).await, (names(&["api"]), names(&["worker"])));
    let third = pushed(&control, &[("havre.toml", &other), ("Dockerfile", "FROM scratch\n# 2\n")]).await;
    assert_eq!(split(&control, &third).await, (names(&["api"]), names(&["worker"])));
}

#[tokio::test]
async fn whoever_asks_again_gets_everything() {
    let outside = Outside::new();
    let control = outside.control();
    let first = pushed(&control, &[]).await;
    let by = first.cause.actor().clone();
    let again = NewPipeline {
        project: first.project.clone(),
        environment: first.environment.clone(),
        reference: first.reference.clone(),
        commit: first.commit.clone(),
        subject: first.subject.clone(),
        author: first.author.clone(),
        cause: Cause::Rerun { of: first.id, by: by.clone() },
    };
    let now = control.world.now();
    control.world.store.write(now, by, move |tx| tx.create_pipeline(again)).await.unwrap();
    settle(&control).await;
    let last = pipelines(&control).await.pop().unwrap();
    assert!(matches!(last.state, State::Succeeded { .. }), "{:?}", last.state);
    assert_eq!(split(&control, &last).await, (names(&["api", "worker"]), names(&[])));
}

#[tokio::test]
async fn a_live_commit_that_is_gone_leaves_nothing() {
    let outside = Outside::new();
    let control = outside.control();
    pushed(&control, &[]).await;
    // As after a force push and a clean-up: the repository is made anew.
    let project = crate::pipeline::project();
    havre_source::Source::remove(&*outside.source, &project).await.unwrap();
    let second = pushed(&control, &[("README.md", "1")]).await;
    assert_eq!(split(&control, &second).await, (names(&["api", "worker"]), names(&[])));
}
