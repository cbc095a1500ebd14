//! Secret providers: set, listed, tried and removed; and no answer says a credential.

use havre_decide::secret::provider::PROVIDERS_MAX;
use serde_json::{Value, json};

use crate::world::World;

const PROVIDERS: &str = "/v1/projects/dropit/secret-providers";

fn vault() -> Value {
    json!({ "kind": "vault", "url": "https://vault.example:8200", "role_id": "app" })
}

fn main_path() -> String {
    format!("{PROVIDERS}/vault-main")
}

async fn set(world: &World, body: Value) -> (u16, Value) {
    world.ask("PUT", &main_path(), body).await
}

#[tokio::test]
async fn the_life_of_a_provider() {
    let world = World::new();
    assert_eq!(world.get(PROVIDERS).await, (200, json!({ "providers": [] })));
    let wide = json!({
        "name": "vault-main", "settings": vault(), "set_at": "2026-11-24T10:00:00.000Z", "set_by": { "kind": "local" },
    });
    let body = json!({ "settings": vault(), "credential": "planted-1" });
    assert_eq!(set(&world, body).await, (200, wide.clone()));
    let body = json!({ "environment": "production", "settings": vault(), "credential": "planted-2" });
    let (status, own) = set(&world, body).await;
    assert_eq!((status, &own["environment"]), (200, &json!("production")));
    assert_eq!(world.get(PROVIDERS).await, (200, json!({ "providers": [wide, own] })));

    let path = format!("{}/test", main_path());
    let tried = world.ask("POST", &path, json!({ "location": "secret/data/app#password" })).await;
    // The fake says what it was asked, and how long the credential is.
    let text = "dropit/vault-main vault 9 secret/data/app#password";
    assert_eq!(tried, (200, json!({ "is_good": true, "text": text })));
    let tried = world.ask("POST", &path, json!({ "environment": "staging" })).await;
    assert_eq!((tried.0, &tried.1["code"]), (404, &json!("secret_provider_not_found")));

    let own = format!("{}?environment=production", main_path());
    assert_eq!(world.ask("DELETE", &own, Value::Null).await, (204, Value::Null));
    assert_eq!(world.ask("DELETE", &main_path(), Value::Null).await, (204, Value::Null));
    let (status, missing) = world.ask("DELETE", &main_path(), Value::Null).await;
    assert_eq!((status, &missing["code"]), (404, &json!("secret_provider_not_found")));
    let events = world.store.read(|view| view.events(0, None, 100)).await.expect("a read");
    let told: String = events.iter().map(|event| format!("{} {event:?}", event.kind)).collect();
    assert!(told.contains("secret provider vault-main of dropit set in production"), "{told}");
    assert!(!told.contains("planted"), "{told}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let world = World::new();
    for body in [
        json!({ "settings": vault() }),
        json!({ "settings": vault(), "credential": "two words" }),
        json!({ "settings": { "kind": "file" }, "credential": "planted" }),
    ] {
        let (status, refused) = set(&world, body.clone()).await;
        assert_eq!((status, &refused["code"]), (422, &json!("secret_invalid")), "{body}");
        assert!(!refused.to_string().contains("planted"), "{refused}");
    }
    for body in [
        json!({ "settings": { "kind": "vault", "url": "vault.example" }, "credential": "x" }),
        json!({ "settings": { "kind": "vault", "url": "https://vault.example", "token": "planted" } }),
        json!({ "settings": { "kind": "keychain" } }),
    ] {
        let (status, refused) = set(&world, body.clone()).await;
        assert_eq!((status, &refused["code"]), (400, &json!("body_invalid")), "{body}");
    }
    let file = json!({ "settings": { "kind": "file" } });
    for number in 0..PROVIDERS_MAX {
        let (status, _) = world.ask("PUT", &format!("{PROVIDERS}/p{number}"), file.clone()).await;
        assert_eq!(status, 200);
    }
    let (status, refused) = set(&world, file.clone()).await;
    assert_eq!((status, &refused["code"]), (422, &json!("secret_invalid")));
    // One that is there can be set again.
    assert_eq!(world.ask("PUT", &format!("{PROVIDERS}/p0"), file).await.0, 200);
    let tried = world.ask("POST", &format!("{PROVIDERS}/p0/test"), Value::Null).await;
    assert_eq!(tried, (200, json!({ "is_good": false, "text": "dropit/p0 file 1 -" })));
}
