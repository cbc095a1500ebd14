//! Registries: set, listed without the password, removed; and what none is.

use havre_core::quantity::Span;
use havre_core::registry::RegistryHost;
use havre_core::time::Timestamp;
use havre_decide::registry::limit::PullLimit;
use serde_json::{Value, json};

use crate::world::{START, World};

const LIST: &str = "/v1/registries";
const PATH: &str = "/v1/registries/registry.example.org:5000";

#[tokio::test]
async fn the_life_of_credentials() {
    let world = World::new();
    assert_eq!(world.get(LIST).await, (200, json!({ "registries": [] })));
    let shown = |user: &str| json!({ "host": "registry.example.org:5000", "user": user, "set_at": "2026-11-24T10:00:00.000Z" });
    for user in ["ada", "robot$ci"] {
        let body = json!({ "user": user, "password": "planted \"~?>\" password" });
        assert_eq!(world.ask("PUT", PATH, body).await, (200, shown(user)));
        assert_eq!(world.get(LIST).await, (200, json!({ "registries": [shown(user)] })));
    }
    let host: RegistryHost = "registry.example.org:5000".parse().unwrap();
    let found = world.store.read(move |view| view.find_registry_credentials(&host)).await.unwrap().unwrap();
    assert_eq!(found.password.expose_text(), Some("planted \"~?>\" password"));
    assert_eq!(world.ask("DELETE", PATH, Value::Null).await, (204, Value::Null));
    let (status, body) = world.ask("DELETE", PATH, Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("registry_not_found")));
    assert_eq!(world.get(LIST).await, (200, json!({ "registries": [] })));
    let events = world.store.read(|view| view.events(0, None, 100)).await.unwrap();
    let events: Vec<String> = events.iter().map(|event| format!("{}: {}", event.actor, event.kind)).collect();
    assert_eq!(
        events,
        [
            "local: images of registry.example.org:5000 are pulled as ada",
            "local: images of registry.example.org:5000 are pulled as robot$ci",
            "local: images of registry.example.org:5000 are pulled without credentials",
        ]
    );
}

#[tokio::test]
async fn names_of_one_registry_are_one() {
    let world = World::new();
    let hub = RegistryHost::hub();
    let body = json!({ "user": "ada", "password": "planted" });
    for name in names() {
        let (status, set) = world.ask("PUT", &format!("{LIST}/{name}"), body.clone()).await;
        assert_eq!((status, &set["host"]), (200, &json!(hub.as_str())), "{name}");
    }
    let (_, list) = world.get(LIST).await;
    assert_eq!(list["registries"].as_array().map(Vec::len), Some(1));
}

/// The hub by two names: as references have it, and in capitals.
fn names() -> [String; 2] {
    let name = RegistryHost::hub().to_string();
    [name.to_ascii_uppercase(), name]
}

#[tokio::test]
async fn what_is_left_is_shown_with_credentials_and_without() {
    let world = World::new();
    let limit = PullLimit { remaining: 34, limit: 100, window: Span::seconds(21_600) };
    let record =
        world.store.write(Timestamp::from_millis(START), havre_core::event::Actor::Havre, move |tx| {
            tx.use_registry(&RegistryHost::hub())?;
            tx.record_registry_limit(&RegistryHost::hub(), limit)
        });
    record.await.unwrap();
    let pulls = json!({
        "remaining": 34, "limit": 100, "window_ms": 21_600_000, "read_at": "2026-11-24T10:00:00.000Z",
    });
    let host = RegistryHost::hub().to_string();
    assert_eq!(
        world.get(LIST).await,
        (200, json!({ "registries": [{ "host": host, "pulls": pulls }] })),
        "without credentials"
    );
}

#[tokio::test]
async fn what_is_none_is_refused_and_never_repeated() {
    let world = World::new();
    let body = json!({ "user": "ada", "password": "planted" });
    for host in ["ada:planted@registry.example.org", "planted", "registry.example.org%2Fplanted", "%20"] {
        let (status, answer) = world.ask("PUT", &format!("{LIST}/{host}"), body.clone()).await;
        assert_eq!((status, &answer["code"]), (400, &json!("name_invalid")), "{host}");
        assert!(!answer.to_string().contains("planted"), "{answer}");
    }
    for (user, password, status, code) in [
        ("a:planted", "x", 400, "body_invalid"),
        ("", "x", 400, "body_invalid"),
        ("ada", "", 422, "registry_invalid"),
        ("ada", "planted\u{0}", 422, "registry_invalid"),
    ] {
        let (found, answer) = world.ask("PUT", PATH, json!({ "user": user, "password": password })).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{answer}");
        assert!(!answer.to_string().contains("planted"), "{answer}");
    }
    let (status, _) = world.ask("PUT", PATH, json!({ "user": "ada", "password": "x", "host": "y" })).await;
    assert_eq!(status, 400);
    assert_eq!(world.get(LIST).await, (200, json!({ "registries": [] })));
}
