//! Secrets of builds: set, listed without their values, removed; and what none is.

use serde_json::{Value, json};

use crate::world::{World, send};

const LIST: &str = "/v1/projects/dropit/build-secrets";
const PATH: &str = "/v1/projects/dropit/build-secrets/NPM_TOKEN";

#[tokio::test]
async fn the_life_of_a_build_secret() {
    let world = World::new();
    assert_eq!(world.get(LIST).await, (200, json!({ "secrets": [] })));
    let shown = json!({ "name": "NPM_TOKEN", "set_at": "2026-11-24T10:00:00.000Z" });
    let set = || world.ask("PUT", PATH, json!({ "value": "planted-value" }));
    assert_eq!(set().await, (200, shown.clone()));
    assert_eq!(set().await, (200, shown.clone()));
    assert_eq!(world.get(LIST).await, (200, json!({ "secrets": [shown] })));
    assert_eq!(world.ask("DELETE", PATH, Value::Null).await, (204, Value::Null));
    let (status, body) = world.ask("DELETE", PATH, Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("build_secret_not_found")));
    let events = world.store.read(|view| view.events(0, None, 100)).await.expect("events");
    let events: Vec<String> = events.iter().map(|event| format!("{}: {}", event.actor, event.kind)).collect();
    assert_eq!(
        events,
        [
            "local: build secret NPM_TOKEN set for dropit",
            "local: build secret NPM_TOKEN set for dropit",
            "local: build secret NPM_TOKEN removed from dropit",
        ]
    );
}

#[tokio::test]
async fn what_is_none_is_refused_and_never_repeated() {
    let world = World::new();
    let long = "planted".repeat(10_000);
    for value in ["", "planted", " planted\n\n", "planted\0-value", long.as_str()] {
        let (status, body) = world.ask("PUT", PATH, json!({ "value": value })).await;
        assert_eq!((status, &body["code"]), (422, &json!("build_secret_invalid")), "{value:?}");
        assert!(!body.to_string().contains("planted"), "{body}");
    }
    let (status, body) = world.ask("PUT", &format!("{LIST}/2ND"), json!({ "value": "planted-value" })).await;
    assert_eq!((status, &body["code"]), (400, &json!("name_invalid")));
    assert!(!body.to_string().contains("planted"), "{body}");
    let response = send(&world.local, "PUT", PATH, &[], "{}".into()).await;
    assert_eq!(response.status(), 400);
}
