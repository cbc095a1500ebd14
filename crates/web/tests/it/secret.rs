//! Secrets: set, listed, revealed and removed; and no answer but one says a value.

use havre_core::event::Actor;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, World, tasks};

const SECRETS: &str = "/v1/projects/dropit/secrets";

/// `api`, which wants `JWT_SECRET` and refers to `DB_PASSWORD`.
fn api() -> Value {
    let mut spec = tasks("api", "api.example");
    spec["work"]["secrets"] = json!(["JWT_SECRET"]);
    spec["work"]["env"]["URL"] = json!("postgres://app:${secrets.DB_PASSWORD}@db");
    spec
}

async fn set(world: &World, environment: Option<&str>, secrets: Value) -> (u16, Value) {
    let mut body = json!({ "secrets": secrets });
    if let Some(environment) = environment {
        body["environment"] = json!(environment);
    }
    world.ask("POST", SECRETS, body).await
}

fn place() -> Value {
    json!({ "project": "dropit", "environment": "production", "service": "api" })
}

fn local(name: &str, version: u64, used_by: &[Value]) -> Value {
    json!({
        "name": name, "version": version, "set_at": "2026-11-24T10:00:00.000Z", "set_by": { "kind": "local" },
        "used_by": used_by,
    })
}

#[tokio::test]
async fn the_life_of_a_secret() {
    let world = World::new();
    assert_eq!(world.get(SECRETS).await, (200, json!({ "secrets": [] })));
    let values =
        json!({ "JWT_SECRET": "planted-jwt", "DB_PASSWORD": "planted-db", "OTHER": "planted-other" });
    let made = [local("DB_PASSWORD", 1, &[]), local("JWT_SECRET", 1, &[]), local("OTHER", 1, &[])];
    assert_eq!(
        set(&world, None, values.clone()).await,
        (200, json!({ "secrets": made, "unchanged": [], "deployments": [] }))
    );
    let (_, again) = set(&world, None, values).await;
    assert_eq!(again["unchanged"], json!(["DB_PASSWORD", "JWT_SECRET", "OTHER"]));
    assert_eq!(again["secrets"], json!([]));

    world.apply(&[api()]).await;
    let listed =
        [local("DB_PASSWORD", 1, &[place()]), local("JWT_SECRET", 1, &[place()]), local("OTHER", 1, &[])];
    assert_eq!(world.get(SECRETS).await, (200, json!({ "secrets": listed })));
    let path = format!("{SECRETS}/JWT_SECRET");
    let (status, history) = world.get(&path).await;
    assert_eq!((status, &history["versions"][0]["version"]), (200, &json!(1)));

    let (status, refused) = world.ask("DELETE", &path, Value::Null).await;
    assert_eq!((status, &refused["code"]), (409, &json!("secret_in_use")));
    assert!(refused["message"].as_str().unwrap_or_default().contains("dropit/production/api"), "{refused}");
    assert_eq!(world.ask("DELETE", &format!("{path}?force=true"), Value::Null).await, (204, Value::Null));
    let (status, missing) = world.ask("DELETE", &path, Value::Null).await;
    assert_eq!((status, &missing["code"]), (404, &json!("secret_not_found")));
    let (status, missing) = world.get(&path).await;
    assert_eq!((status, &missing["code"]), (404, &json!("secret_not_found")));
}

#[tokio::test]
async fn one_answer_says_a_value_and_that_is_told() {
    let world = World::new();
    set(&world, None, json!({ "JWT_SECRET": "planted-wide" })).await;
    set(&world, Some("production"), json!({ "JWT_SECRET": "planted-own" })).await;
    world.apply(&[api()]).await;
    world.deploy("api").await;
    let path = format!("{SECRETS}/JWT_SECRET/reveal");
    let (status, shown) = world.ask("POST", &path, Value::Null).await;
    assert_eq!((status, &shown["value"], &shown["version"]), (200, &json!("planted-wide"), &json!(1)));
    let (_, shown) = world.ask("POST", &path, json!({ "environment": "production" })).await;
    assert_eq!((&shown["value"], &shown["environment"]), (&json!("planted-own"), &json!("production")));
    let (status, missing) = world.ask("POST", &path, json!({ "environment": "staging" })).await;
    assert_eq!((status, &missing["code"]), (404, &json!("secret_not_found")));
    assert_eq!(
        world.ask("POST", "/v1/projects/dropit/data-key", Value::Null).await,
        (200, json!({ "values": 2 }))
    );
    let (status, missing) = world.ask("POST", "/v1/projects/other/data-key", Value::Null).await;
    assert_eq!((status, &missing["code"]), (404, &json!("secret_not_found")));

    for path in [
        SECRETS,
        &format!("{SECRETS}/JWT_SECRET"),
        "/v1/events",
        "/v1/status",
        "/v1/projects",
        ENVIRONMENT,
        &format!("{ENVIRONMENT}/services/api"),
        &format!("{ENVIRONMENT}/services/api/releases"),
        &format!("{ENVIRONMENT}/services/api/deployments"),
    ] {
        let response = crate::world::send(&world.local, "GET", path, &[], axum::body::Body::empty()).await;
        let bytes = axum::body::to_bytes(response.into_body(), 1024 * 1024).await.expect("a body");
        assert!(!String::from_utf8_lossy(&bytes).contains("planted"), "{path}");
    }
    let events = world.store.read(|view| view.events(0, None, 100)).await.expect("a read");
    let told: Vec<String> = events
        .iter()
        .filter(|event| event.actor == Actor::Local)
        .map(|event| event.kind.to_string())
        .filter(|text| text.contains("secret") || text.contains("key"))
        .collect();
    assert_eq!(
        told,
        [
            "secret JWT_SECRET of dropit set for every environment, now v1",
            "secret JWT_SECRET of dropit set in production, now v2",
            "secret JWT_SECRET of dropit revealed for every environment (v1)",
            "secret JWT_SECRET of dropit revealed in production (v2)",
            "data key of dropit replaced, 2 values sealed anew",
        ]
    );
}

#[tokio::test]
async fn a_new_value_restarts_what_runs_with_it_and_nothing_else() {
    let world = World::new();
    set(&world, None, json!({ "JWT_SECRET": "planted-1", "DB_PASSWORD": "planted-1" })).await;
    world.apply(&[api(), tasks("other", "other.example")]).await;
    let (first, _) = world.deploy("api").await;
    world.deploy("other").await;
    let (_, body) = set(&world, None, json!({ "UNUSED": "planted-1" })).await;
    assert_eq!(body["deployments"], json!([]));
    let values = json!({ "JWT_SECRET": "planted-2", "DB_PASSWORD": "planted-2" });
    let quiet = json!({ "secrets": { "JWT_SECRET": "planted-quiet" }, "no_restart": true });
    let (_, body) = world.ask("POST", SECRETS, quiet).await;
    assert_eq!(body["deployments"], json!([]));
    let (status, body) = set(&world, None, values).await;
    assert_eq!(status, 200);
    let deployments = body["deployments"].as_array().expect("a list");
    assert_eq!(deployments.len(), 1, "one for both: {body}");
    assert_eq!((&deployments[0]["place"], &deployments[0]["kind"]), (&place(), &json!("restart")));
    let id = deployments[0]["release"].as_str().expect("an id").parse().expect("an id");
    let (second, versions) = world
        .store
        .read(move |view| Ok((view.get_release(id)?, view.release_secrets(id)?)))
        .await
        .expect("a read");
    assert_eq!((&second.artifact, &second.spec), (&first.artifact, &first.spec), "nothing is built");
    let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    assert_eq!(versions, ["DB_PASSWORD v2", "JWT_SECRET v3"]);
}

#[tokio::test]
async fn what_is_none_is_refused_and_nothing_of_it_is_kept() {
    let world = World::new();
    let good = "planted-good";
    for (secrets, status, code) in [
        (json!({}), 422, "secret_invalid"),
        (json!({ "A": good, "B": "" }), 422, "secret_invalid"),
        (json!({ "A": good, "B": "planted\u{0}" }), 422, "secret_invalid"),
        (json!({ "A": good, "PORT": "planted" }), 422, "secret_invalid"),
        (json!({ "A": good, "a-b": "planted" }), 400, "body_invalid"),
    ] {
        let (found, answer) = set(&world, None, secrets).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{answer}");
        assert!(!answer.to_string().contains("planted"), "{answer}");
    }
    assert_eq!(world.get(SECRETS).await, (200, json!({ "secrets": [] })));
    let (status, _) = world.get(&format!("{SECRETS}/a-b")).await;
    assert_eq!(status, 400);
}
