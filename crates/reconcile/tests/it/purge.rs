//! Calls to CDNs: once after each switch and not before every edge serves it, again until it listens, over restarts, and not
//! for ever.

use havre_core::deployment::Kind;
use havre_core::deployment::state::State;
use havre_core::event::Actor;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::quantity::Span;
use havre_core::service::spec::ServiceSpec;
use havre_core::site::settings::SiteSettings;
use havre_reconcile::purge;

use crate::site::{deploy, publish, spec};
use crate::world::{Control, Outside};

const CALL: &str = "POST /purge/dropit-production-web-pages";

fn with_purge() -> ServiceSpec {
    let settings: SiteSettings = serde_json::from_value(serde_json::json!({
        "cdn": { "tags": "cache-tag", "hold": "1h", "purge": {
            "url": "https://cdn.example/purge/{tag}", "header": "X-Key", "secret": "cdn",
        } },
    }))
    .unwrap();
    spec(settings)
}

async fn round(control: &Control) {
    purge::activate(&control.world).await.unwrap();
}

/// What events say of CDNs.
async fn story(control: &Control) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).filter(|text| text.starts_with("CDN")).collect()
}

async fn rows(control: &Control) -> usize {
    control.world.store.read(|view| view.list_purges()).await.unwrap().len()
}

async fn state(control: &Control, id: ServiceId) -> State {
    control.last_deployment(id).await.state
}

#[tokio::test]
async fn a_cdn_is_told_once_after_each_switch() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(with_purge()).await;
    round(&control).await;
    assert_eq!(outside.cdn.tries(), 0, "nothing has been switched");
    deploy(&control, id).await;
    round(&control).await;
    round(&control).await;
    assert_eq!(outside.cdn.told(), [CALL]);
    deploy(&control, id).await;
    round(&control).await;
    assert_eq!(outside.cdn.told(), [CALL, CALL]);

    // A rollback is a switch like any other.
    let to = ReleaseId::new(1);
    control
        .world
        .store
        .write(control.world.now(), Actor::Local, move |tx| tx.create_deployment(id, to, Kind::Rollback))
        .await
        .unwrap();
    control.settle().await;
    round(&control).await;
    assert_eq!(outside.cdn.tries(), 3);
    assert_eq!(rows(&control).await, 0);
    assert_eq!(
        story(&control).await,
        [
            "CDN told of r1: it forgets the pages from before (answered 200)",
            "CDN told of r2: it forgets the pages from before (answered 200)",
            "CDN told of r1: it forgets the pages from before (answered 200)",
        ]
    );
}

#[tokio::test]
async fn a_site_that_names_no_address_calls_nobody() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(SiteSettings::default())).await;
    deploy(&control, id).await;
    round(&control).await;
    assert_eq!((outside.cdn.tries(), rows(&control).await), (0, 0));
}

#[tokio::test]
async fn no_cdn_is_told_before_every_edge_serves_the_new_release() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(with_purge()).await;
    deploy(&control, id).await;
    round(&control).await;

    publish(&control, id).await;
    // The loops run, and the edge keeps its old table.
    for _ in 0..20 {
        control.activate().await;
        round(&control).await;
        if control.service(id).await.live == Some(ReleaseId::new(2)) {
            break;
        }
    }
    assert_eq!(control.service(id).await.live, Some(ReleaseId::new(2)), "live in rows");
    control.activate().await;
    assert!(matches!(state(&control, id).await, State::Switching { .. }));
    round(&control).await;
    assert_eq!(outside.cdn.tries(), 1, "the edge may still answer with old pages");
    assert_eq!(rows(&control).await, 1);

    control.settle().await;
    round(&control).await;
    assert_eq!(outside.cdn.told(), [CALL, CALL]);
}

#[tokio::test]
async fn a_call_that_fails_is_made_again_also_by_the_next_control() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(with_purge()).await;
    outside.cdn.fail(2);
    deploy(&control, id).await;
    round(&control).await;
    round(&control).await;
    assert_eq!(outside.cdn.tries(), 1, "it failed, and waits");
    outside.clock.advance(Span::seconds(10).duration());
    round(&control).await;
    assert_eq!(outside.cdn.tries(), 2);

    drop(control);
    let control = outside.control();
    round(&control).await;
    assert_eq!(outside.cdn.tries(), 2, "a restart does not make the pause shorter");
    outside.clock.advance(Span::seconds(30).duration());
    round(&control).await;
    assert_eq!(outside.cdn.told(), [CALL]);
    assert_eq!(rows(&control).await, 0);
    assert_eq!(
        story(&control).await,
        [
            "CDN not told of r1 (try 1, another follows): cdn.example: answered 503",
            "CDN not told of r1 (try 2, another follows): cdn.example: answered 503",
            "CDN told of r1: it forgets the pages from before (answered 200)",
        ]
    );
}

#[tokio::test]
async fn a_cdn_that_never_listens_is_given_up_and_people_are_told() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(with_purge()).await;
    outside.cdn.fail(1000);
    deploy(&control, id).await;
    for _ in 0..30 {
        round(&control).await;
        outside.clock.advance(Span::seconds(3600).duration());
    }
    assert_eq!((outside.cdn.tries(), rows(&control).await), (24, 0));
    let story = story(&control).await;
    assert_eq!(story.len(), 24);
    assert_eq!(
        story.last().unwrap(),
        "CDN not told of r1 after 24 tries: cdn.example: answered 503; purge it by hand"
    );
}
