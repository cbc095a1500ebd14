//! What a build is given, and what keeps it from starting.

use std::collections::BTreeMap;

use havre_core::build::{Build, State};
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::secret::Secret;
use havre_core::service::spec::{DockerfileSource, ImageSource, TaskWork};

use crate::world::{Control, Outside, spec, work};

/// A service that is built, by a step that mounts these secrets.
fn built(secrets: &[&str]) -> TaskWork {
    let source = DockerfileSource {
        context: ".".parse().unwrap(),
        dockerfile: "Dockerfile".parse().unwrap(),
        target: None,
        args: BTreeMap::new(),
        written_for: None,
        secrets: secrets.iter().map(|name| name.parse().unwrap()).collect(),
    };
    TaskWork { source: ImageSource::Dockerfile(source), ..work("1") }
}

async fn find(control: &Control, id: BuildId) -> Build {
    control.world.store.read(move |view| view.get_build(id)).await.unwrap()
}

#[tokio::test]
async fn a_build_without_one_of_its_secrets_does_not_start() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(built(&["NPM_TOKEN"]))).await;
    let first = control.build(id).await;
    control.activate().await;
    let State::Failed { reason, step, .. } = find(&control, first).await.state else { panic!("must fail") };
    assert_eq!(
        (reason.as_str(), step.as_str()),
        ("the build secret NPM_TOKEN is not set; `havre build secret set NPM_TOKEN`, then deploy again", "")
    );
    assert!(outside.builder.requests().is_empty());

    let value = Secret::from("planted-value");
    let set = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        tx.set_build_secret(&"dropit".parse().unwrap(), &"NPM_TOKEN".parse().unwrap(), &value)?;
        tx.set_build_secret(&"dropit".parse().unwrap(), &"OTHER".parse().unwrap(), &value)
    });
    set.await.unwrap();
    let second = control.build(id).await;
    control.activate().await;
    assert!(matches!(find(&control, second).await.state, State::Succeeded { .. }));
    let given = outside.builder.requests().remove(0).secrets;
    let given: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), value.expose_text())).collect();
    assert_eq!(given, [("NPM_TOKEN", Some("planted-value"))], "what it asks for, and nothing else");
}
