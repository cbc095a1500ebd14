//! Images that a registry announces: which services are deployed, once, and who is believed.

use axum::body::Body;
use havre_core::build::{Build, State};
use havre_core::service::Place;
use serde_json::{Value, json};

use crate::world::{World, place, read, send, soon, tasks};

const SECRET: &str = "correct horse battery staple";
const PUSH: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/registry.distribution.push.json");
const SEVERAL: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/registry.distribution.several.json");
const HUB: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/registry.docker-hub.push.json");
const STAGING: &str = "/v1/projects/dropit/environments/staging";

fn image(name: &str, host: &str, reference: &str) -> Value {
    let mut spec = tasks(name, host);
    spec["work"]["source"] = json!({ "kind": "image", "reference": reference });
    spec
}

/// A project whose `api` runs this image in production.
async fn world(reference: &str) -> World {
    let world = World::new();
    let services = [image("api", "api.dropit.example", reference), tasks("built", "built.dropit.example")];
    assert_eq!(world.apply(&services).await.0, 200);
    let path = "/v1/projects/dropit/webhooks/registry";
    assert_eq!(world.ask("PUT", path, json!({ "secret": SECRET })).await.0, 200);
    world
}

async fn deliver(world: &World, query: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let path = format!("/v1/hooks/dropit/registry{query}");
    read(soon(send(&world.public, "POST", &path, headers, Body::from(body.to_vec()))).await).await
}

async fn believed(world: &World, body: &[u8]) -> (u16, Value) {
    let header = format!("Bearer {SECRET}");
    deliver(world, "", &[("authorization", header.as_str())], body).await
}

async fn builds(world: &World, place: Place) -> Vec<Build> {
    let found = world.store.read(move |view| {
        let service = view.find_service(&place)?.expect("the service is there");
        view.list_builds(service.id, 100)
    });
    found.await.expect("a read")
}

#[tokio::test]
async fn every_service_that_runs_the_image_is_deployed_once() {
    let world = world("registry.example.org/orrery/api:stable").await;
    let staging = json!({ "services": [
        image("api", "api.staging.example", "registry.example.org/orrery/api:stable"),
        image("other", "other.staging.example", "registry.example.org/orrery/api:edge"),
    ] });
    assert_eq!(world.ask("PUT", STAGING, staging).await.0, 200);
    // Two tags, one of them nobody runs; the layers beside them are nobody's business.
    let (status, body) = believed(&world, SEVERAL).await;
    assert_eq!(status, 202, "{body}");
    let expected = json!({ "action": "started", "pipelines": [], "builds": ["b1", "b2"], "urls": ["/v1/builds/b1", "/v1/builds/b2"] });
    assert_eq!(body, expected);
    let made = builds(&world, place("api")).await;
    assert_eq!(made.len(), 1);
    assert_eq!((&made[0].state, made[0].commit.as_str()), (&State::Queued, ""));
    assert_eq!(
        made[0].spec,
        world.service("api").await.spec,
        "the tag as it is configured: the loop asks the registry"
    );
    assert_eq!(builds(&world, place("built")).await, []);

    let (status, body) = believed(&world, SEVERAL).await;
    let reason = "this delivery was here before; nothing is done again";
    assert_eq!(
        (status, body),
        (200, json!({ "action": "ignored", "reason": reason })),
        "a registry sends again until it hears 200"
    );
    assert_eq!(builds(&world, place("api")).await.len(), 1);
}

#[tokio::test]
async fn an_image_nobody_runs_is_named() {
    for reference in [
        "registry.example.org/orrery/api:edge",
        "registry.example.org/orrery/web:stable",
        "orrery/api:stable",
    ] {
        let world = world(reference).await;
        let (status, body) = believed(&world, PUSH).await;
        let reason = "no service runs the image registry.example.org/orrery/api:stable";
        assert_eq!((status, body), (200, json!({ "action": "ignored", "reason": reason })), "{reference}");
        assert_eq!(builds(&world, place("api")).await, [], "{reference}");
    }
    // What is pinned by digest no push can change.
    let pinned = format!("registry.example.org/orrery/api@sha256:{}", "a".repeat(64));
    assert_eq!(believed(&world(&pinned).await, PUSH).await.0, 200);
}

#[tokio::test]
async fn services_of_other_projects_and_those_on_their_way_out_are_left_alone() {
    let reference = "registry.example.org/orrery/api:stable";
    let world = world(reference).await;
    let elsewhere = json!({ "services": [image("api", "api.other.example", reference)] });
    let (status, body) = world.ask("PUT", "/v1/projects/other/environments/production", elsewhere).await;
    assert_eq!(status, 200, "{body}");
    let at = havre_core::time::Timestamp::from_millis(crate::world::START);
    let id = world.service("api").await.id;
    world.write(move |tx| tx.request_destroy(id, at)).await;
    let (status, body) = believed(&world, PUSH).await;
    assert_eq!((status, &body["action"]), (200, &json!("ignored")), "{body}");
    let other = Place { project: "other".parse().expect("is a name"), ..place("api") };
    assert_eq!(builds(&world, other).await, []);
}

#[tokio::test]
async fn a_secret_in_the_address_is_for_who_can_send_no_header() {
    let world = world("lumenlabs/orrery-api:stable").await;
    let secret = SECRET.replace(' ', "%20");
    for query in
        ["", "?secret=", "?secret=correct", "?secret=correct%20horse%20battery%20stapl%65s", "?other=1"]
    {
        let (status, body) = deliver(&world, query, &[], HUB).await;
        assert_eq!((status, &body["code"]), (401, &json!("delivery_refused")), "{query}");
        assert!(!body.to_string().contains("correct"), "{body}");
    }
    let (status, body) = deliver(&world, &format!("?secret={secret}"), &[], HUB).await;
    assert_eq!((status, &body["builds"]), (202, &json!(["b1"])), "{body}");

    // Senders that can sign have to; and where there is no webhook, no secret opens it.
    let path = "/v1/projects/dropit/webhooks/github";
    assert_eq!(world.ask("PUT", path, json!({ "secret": SECRET })).await.0, 200);
    for path in ["/v1/hooks/dropit/github", "/v1/hooks/nothing/registry"] {
        let path = format!("{path}?secret={secret}");
        let headers = [("x-github-event", "ping")];
        let (status, body) = read(send(&world.public, "POST", &path, &headers, Body::from("{}")).await).await;
        assert_eq!((status, &body["code"]), (401, &json!("delivery_refused")), "{path}");
    }
}
