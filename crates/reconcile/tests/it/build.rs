//! What a build is given, and what keeps it from starting.

use std::collections::BTreeMap;

use havre_core::build::{Build, State};
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::quantity::{ByteSize, Span};
use havre_core::secret::Secret;
use havre_core::service::spec::{DockerfileSource, ImageSource, TaskWork};
use havre_decide::build::admission::{Disk, Room};

use havre_reconcile::image;

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

fn disk(free_mebibytes: u64) -> Room {
    let disk = Disk {
        path: "/var/lib/docker".to_owned(),
        free: ByteSize::mebibytes(free_mebibytes),
        size: ByteSize::mebibytes(50_000),
    };
    Room { memory: None, disks: vec![disk] }
}

async fn waiting(control: &Control, id: BuildId) -> String {
    let text = control.world.store.read(move |view| view.waiting("build", id.row())).await.unwrap();
    text.unwrap_or_default()
}

#[tokio::test]
async fn a_build_waits_for_room_and_says_so() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(built(&[]))).await;
    outside.builder.set_room(disk(800));
    let first = control.build(id).await;
    control.activate().await;
    assert_eq!(find(&control, first).await.state, State::Queued);
    let text = waiting(&control, first).await;
    assert!(text.starts_with("waits for room: 800MB are free on the disk of /var/lib/docker"), "{text}");
    assert!(outside.builder.requests().is_empty());

    outside.builder.set_room(disk(8_000));
    outside.clock.advance(Span::seconds(10).duration());
    control.activate().await;
    assert!(matches!(find(&control, first).await.state, State::Succeeded { .. }));
    assert_eq!(waiting(&control, first).await, "");
}

#[tokio::test]
async fn nobody_waits_for_room_for_ever() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(built(&[]))).await;
    outside.builder.set_room(disk(800));
    let first = control.build(id).await;
    control.activate().await;
    outside.clock.advance(Span::seconds(3_600).duration());
    control.activate().await;
    let State::Failed { reason, .. } = find(&control, first).await.state else { panic!("must fail") };
    assert!(reason.starts_with("there was no room for the build for 60 minutes: 800MB are free"), "{reason}");
    assert_eq!(waiting(&control, first).await, "");

    // An image that is only looked up takes no room worth waiting for.
    outside.add_image("2", havre_engine::fake::script::Script::runs());
    control.apply(spec(work("2"))).await;
    let second = control.build(id).await;
    control.activate().await;
    assert!(matches!(find(&control, second).await.state, State::Succeeded { .. }));
}

#[tokio::test]
async fn the_cache_of_builds_is_trimmed_once_an_hour_after_builds() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(built(&[]))).await;
    let mut trimmed = image::Trimmed::default();
    image::trim_cache(&control.world, &mut trimmed).await.unwrap();
    assert_eq!(outside.builder.trims(), 0, "nothing was built");
    for (minutes, trims) in [(0, 1), (59, 1), (1, 2)] {
        outside.clock.advance(Span::seconds(60 * minutes).duration());
        control.build(id).await;
        image::trim_cache(&control.world, &mut trimmed).await.unwrap();
        control.activate().await;
        image::trim_cache(&control.world, &mut trimmed).await.unwrap();
        assert_eq!(outside.builder.trims(), trims, "{minutes}");
    }
}
