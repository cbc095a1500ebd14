//! Pulls get the credentials of their own registry, limits are survived by what is here, and Docker Hub is asked rarely.

use havre_build::context::context_path;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::build::State as BuildState;
use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::{BuildId, ReleaseId, ServiceId};
use havre_core::quantity::Span;
use havre_core::registry::{Credentials, RegistryHost};
use havre_core::service::spec::{ImageSource, ServiceSpec, TaskWork};
use havre_decide::registry::limit::PullLimit;
use havre_engine::error::EngineError;
use havre_engine::fake::script::Script;
use havre_reconcile::build::log_path;
use havre_reconcile::registry;

use crate::world::{Control, Outside, spec, work};

const NAME: &str = "registry.example.org/api:1";

fn reference(text: &str) -> ImageRef {
    text.parse().unwrap()
}

fn named(text: &str) -> ServiceSpec {
    spec(TaskWork { source: ImageSource::Image { reference: reference(text) }, ..work("1") })
}

fn image() -> Digest {
    "ab".repeat(32).parse().unwrap()
}

fn pinned() -> ImageRef {
    reference(&format!("registry.example.org/api@{}", image()))
}

/// A registry that has [`NAME`], by tag and by digest.
fn put_image(outside: &Outside) {
    outside.engine.add_image(&image(), Some(pinned()), Script::runs());
    for name in [reference(NAME), pinned()] {
        outside.engine.name_image(&name, Ok(image()));
    }
}

async fn set(control: &Control, host: RegistryHost, user: &str) {
    let credentials = Credentials { host, user: user.parse().unwrap(), password: "planted".into() };
    let set =
        control.world.store.write(control.world.now(), Actor::Local, move |tx| tx.set_registry(&credentials));
    set.await.unwrap();
}

async fn built(control: &Control, build: BuildId) -> BuildState {
    control.world.store.read(move |view| view.get_build(build)).await.unwrap().state
}

async fn story(control: &Control, part: &str) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).filter(|text| text.contains(part)).collect()
}

fn log(outside: &Outside, build: BuildId) -> String {
    std::fs::read_to_string(log_path(&outside.path("builds"), build)).unwrap()
}

#[tokio::test]
async fn a_pull_gets_the_credentials_of_its_own_registry() {
    let outside = Outside::new();
    put_image(&outside);
    let control = outside.control();
    let id = control.apply(named(NAME)).await;
    set(&control, "other.example.org".parse().unwrap(), "eve").await;
    set(&control, RegistryHost::hub(), "grace").await;
    control.build(id).await;
    control.settle().await;
    assert_eq!(outside.engine.pulls(), [(reference(NAME), None)], "it has none");

    set(&control, "registry.example.org".parse().unwrap(), "ada").await;
    let build = control.build(id).await;
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    assert_eq!(outside.engine.pulls()[1], (reference(NAME), Some("ada".to_owned())));
    let log = log(&outside, build);
    assert!(
        log.contains("looking for registry.example.org/api:1 as ada") && !log.contains("planted"),
        "{log}"
    );
    assert_eq!(story(&control, "planted").await, Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_was_lost_is_pulled_again_as_the_same_user() {
    let outside = Outside::new();
    put_image(&outside);
    let control = outside.control();
    set(&control, "registry.example.org".parse().unwrap(), "ada").await;
    let id = control.apply(named(NAME)).await;
    control.build(id).await;
    control.settle().await;
    outside.add_image("2", Script::runs());
    control.apply(spec(work("2"))).await;
    control.build(id).await;
    control.settle().await;
    outside.engine.lose_image(&image());
    control.request(id, ReleaseId::new(1), Kind::Rollback).await;
    for _ in 0..5 {
        control.activate().await;
    }
    assert_eq!(outside.engine.pulls().last(), Some(&(pinned(), Some("ada".to_owned()))));
}

async fn limited(outside: &Outside) -> (Control, ServiceId) {
    let control = outside.control();
    let id = control.apply(named(NAME)).await;
    let error = EngineError::RateLimited {
        what: format!("image `{NAME}`"),
        retry_after: Some(std::time::Duration::from_secs(90)),
        message: "toomanyrequests".to_owned(),
    };
    outside.engine.name_image(&reference(NAME), Err(error));
    (control, id)
}

#[tokio::test]
async fn at_a_limit_what_is_here_serves_and_says_so() {
    let outside = Outside::new();
    outside.engine.add_image(&image(), Some(pinned()), Script::runs());
    outside.engine.hold_image(&reference(NAME), &image());
    let (control, id) = limited(&outside).await;
    let build = control.build(id).await;
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    assert_eq!(
        story(&control, "limits pulls").await,
        [format!(
            "registry.example.org limits pulls: {NAME} is the image that was on this machine ({})",
            image().short()
        )]
    );
    let log = log(&outside, build);
    assert!(log.contains("using the copy on this machine") && log.contains("toomanyrequests"), "{log}");
}

#[tokio::test]
async fn at_a_limit_without_the_image_people_hear_when_to_try_again() {
    let outside = Outside::new();
    let (control, id) = limited(&outside).await;
    let build = control.build(id).await;
    control.settle().await;
    let BuildState::Failed { reason, .. } = built(&control, build).await else { panic!() };
    assert_eq!(
        reason,
        format!(
            "the registry limits how often image `{NAME}` may be pulled: toomanyrequests; try again in 90s"
        )
    );
    assert_eq!(story(&control, "limits pulls").await, Vec::<String>::new());
    assert_eq!(outside.engine.pulls().len(), 1, "a registry that wants fewer pulls is not asked twice");
}

/// A tar archive of one small file.
fn archive(name: &str, text: &str) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", text.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

#[tokio::test]
async fn a_build_gets_the_credentials_of_the_registries_its_dockerfile_names() {
    let outside = Outside::new();
    let control = outside.control();
    for (host, user) in
        [("base.example.org", "ada"), ("files.example.org", "grace"), ("other.example.org", "eve")]
    {
        set(&control, host.parse().unwrap(), user).await;
    }
    set(&control, RegistryHost::hub(), "hub").await;
    let source = serde_json::json!({
        "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null,
        "args": { "BASE": "base.example.org/base:2" },
    });
    let id =
        control.apply(spec(TaskWork { source: serde_json::from_value(source).unwrap(), ..work("1") })).await;
    let text = "ARG BASE=other.example.org/base:1\nFROM $BASE AS base\nFROM scratch\n\
        COPY --from=base /a /a\nCOPY --from=files.example.org/files:1 /b /b\n";
    let build = control.build(id).await;
    let path = context_path(&outside.path("builds"), build);
    std::fs::write(&path, archive("Dockerfile", text)).unwrap();
    havre_reconcile::build::activate(&control.world).await.unwrap();
    control.background().await;
    let requests = outside.builder.requests();
    let given: Vec<(&str, &str)> = requests[0]
        .credentials
        .iter()
        .map(|credentials| (credentials.host.as_str(), credentials.user.as_str()))
        .collect();
    assert_eq!(given, [("base.example.org", "ada"), ("files.example.org", "grace")]);
    assert!(!format!("{requests:?}").contains("planted"));
}

fn limit(remaining: u64) -> PullLimit {
    PullLimit { remaining, limit: 100, window: Span::seconds(21_600) }
}

#[tokio::test]
async fn the_hub_is_asked_rarely_and_only_in_use() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let ask = async || registry::activate(&control.world).await.unwrap();
    let hours = |count: u64| outside.clock.advance(Span::seconds(count * 3600).duration());
    ask().await;
    assert_eq!(outside.hub.asked(), [], "nothing of it is in use");

    let id = control.apply(spec(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    ask().await;
    ask().await;
    assert_eq!(outside.hub.asked(), [None], "it did not answer, and is not asked again at once");
    let found = async || {
        let find = control.world.store.read(|view| view.find_registry_limit(&RegistryHost::hub()));
        find.await.unwrap().unwrap().said.map(|(limit, _)| limit)
    };
    assert_eq!(found().await, None);

    *outside.hub.says.lock().unwrap() = Some(limit(19));
    hours(6);
    ask().await;
    assert_eq!((found().await, outside.hub.asked().len()), (Some(limit(19)), 2));
    assert_eq!(
        story(&control, "few more pulls").await,
        [format!("{} gives few more pulls: 19 of 100 in 6h are left", RegistryHost::hub())]
    );

    set(&control, RegistryHost::hub(), "ada").await;
    ask().await;
    assert_eq!(outside.hub.asked().last(), Some(&Some("ada".to_owned())), "another user has another limit");
    hours(30);
    ask().await;
    assert_eq!(outside.hub.asked().len(), 3, "no image of it was wanted for a day");
}
