//! Remote repositories: set, shown without the token, removed; and what none is.

use serde_json::{Value, json};

use crate::world::{World, send};

const PATH: &str = "/v1/projects/dropit/remote";
const URL: &str = "https://git.example.org/acme/dropit.git";

#[tokio::test]
async fn the_life_of_a_remote_repository() {
    let world = World::new();
    let (status, body) = world.get(PATH).await;
    assert_eq!((status, &body["code"]), (404, &json!("remote_not_found")));
    let (status, body) = world.ask("PUT", PATH, json!({ "url": URL, "token": "planted-token" })).await;
    let shown = |has_token: bool| json!({ "project": "dropit", "url": URL, "has_token": has_token, "created_at": "2026-11-24T10:00:00.000Z" });
    assert_eq!((status, body), (200, shown(true)));
    assert_eq!(world.get(PATH).await, (200, shown(true)));
    assert_eq!(
        world.ask("PUT", PATH, json!({ "url": URL })).await,
        (200, shown(false)),
        "a token is for one address"
    );
    assert_eq!(world.ask("DELETE", PATH, Value::Null).await, (204, Value::Null));
    let (status, body) = world.ask("DELETE", PATH, Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("remote_not_found")));
    let events = world.store.read(|view| view.events(0, None, 100)).await.expect("events");
    let events: Vec<String> = events.iter().map(|event| format!("{}: {}", event.actor, event.kind)).collect();
    assert_eq!(
        events,
        [
            "local: dropit is fetched from https://git.example.org/acme/dropit.git",
            "local: dropit is fetched from https://git.example.org/acme/dropit.git",
            "local: dropit has no remote repository any more",
        ]
    );
}

#[tokio::test]
async fn what_is_none_is_refused_and_never_repeated() {
    let world = World::new();
    for (url, status, says) in [
        ("https://ada:planted@git.example.org/x.git", 400, "leave it out"),
        ("git@git.example.org:x.git", 400, "take the https:// address"),
        ("ext::sh -c planted", 400, "not of the form"),
        ("--upload-pack=planted", 400, "not of the form"),
        ("file:///etc/planted", 400, "not of the form"),
        ("http://git.example.org/x.git", 422, "https:// only"),
    ] {
        let (found, body) = world.ask("PUT", PATH, json!({ "url": url })).await;
        assert_eq!(found, status, "{url}: {body}");
        let text = body.to_string();
        assert!(text.contains(says) && !text.contains("planted"), "{url}: {text}");
    }
    for token in ["", "two words", "a\nb"] {
        let (status, body) = world.ask("PUT", PATH, json!({ "url": URL, "token": token })).await;
        assert_eq!((status, &body["code"]), (422, &json!("remote_invalid")), "{token:?}");
    }
    let response = send(&world.local, "PUT", PATH, &[], "{\"url\":1}".into()).await;
    assert_eq!(response.status(), 400);
}
