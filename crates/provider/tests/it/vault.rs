//! Vault: logins by token and role, namespaces, engines of both versions.

use havre_provider::Providers as _;
use serde_json::{Value, json};

use crate::server::{Seen, Server};
use crate::{asks, away, fetch, provider, refused};

const TOKEN: &str = "hvs.planted-token";
const SECRET_ID: &str = "planted-secret-id";

/// As a Vault with an engine of version 2 at `secret` and one of version 1 at `old`.
fn vault(seen: &Seen) -> (u16, Value) {
    let token = seen.header("x-vault-token");
    let is_known = [TOKEN, "hvs.of-the-role"].contains(&token);
    match seen.line.as_str() {
        "POST /v1/auth/approle/login" | "POST /v1/auth/team/apps/login" => {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            match body == json!({ "role_id": "app", "secret_id": SECRET_ID }) {
                true => (200, json!({ "auth": { "client_token": "hvs.of-the-role", "lease_duration": 60 } })),
                false => (400, json!({ "errors": ["invalid role or secret ID"] })),
            }
        }
        "POST /v1/auth/token/revoke-self" => (204, Value::Null),
        _ if !is_known => (403, json!({ "errors": ["permission denied"] })),
        "GET /v1/auth/token/lookup-self" => (200, json!({ "data": { "policies": ["default", "app"] } })),
        "GET /v1/secret/data/app" => (
            200,
            json!({ "data": {
                "data": { "password": "planted-two", "port": 5432, "nested": { "a": 1 }, "empty": "" },
                "metadata": { "version": 7, "created_time": "2026-01-01T00:00:00Z" },
            } }),
        ),
        "GET /v1/old/app" => {
            (200, json!({ "data": { "password": "planted-one" }, "lease_duration": 2764800 }))
        }
        "GET /v1/secret/data/deleted" => (
            404,
            json!({ "data": { "data": null, "metadata": { "version": 2, "deletion_time": "2026-01-01T00:00:00Z" } } }),
        ),
        "GET /v1/secret/data/denied" => {
            (403, json!({ "errors": ["1 error occurred:\n\t* permission denied"] }))
        }
        "GET /v1/secret/data/sealed" => (503, json!({ "errors": ["Vault is sealed"] })),
        "GET /v1/secret/data/standby" => (307, Value::Null),
        "GET /v1/secret/data/odd" => (200, json!("<html>")),
        "GET /v1/secret/data/list" => (200, json!([1])),
        "GET /v1/secret/data/long" => (200, json!({ "data": { "x": "x".repeat(2 * 1024 * 1024) } })),
        _ => (404, json!({ "errors": [] })),
    }
}

#[tokio::test]
async fn a_token_reads_engines_of_both_versions_and_each_path_once() {
    let server = Server::start(vault).await;
    let main = provider(json!({ "kind": "vault", "url": server.url() }), TOKEN);
    let found = fetch(&main, &["secret/data/app#password", "secret/data/app#port", "old/app#password"]).await;
    let found: Vec<(String, String)> = found.unwrap().into_iter().collect();
    let pair = |place: &str, value: &str| (place.to_owned(), value.to_owned());
    assert_eq!(
        found,
        [
            pair("old/app#password", "planted-one (without a version)"),
            pair("secret/data/app#password", "planted-two (version 7)"),
            pair("secret/data/app#port", "5432 (version 7)"),
        ]
    );
    assert_eq!(
        server.lines(),
        ["GET /v1/old/app", "GET /v1/secret/data/app"],
        "a token of others is not revoked"
    );
}

#[tokio::test]
async fn a_role_logs_in_reads_and_takes_its_token_back() {
    let server = Server::start(vault).await;
    let url = format!("{}/behind/", server.url());
    let wrong = provider(json!({ "kind": "vault", "url": url, "role_id": "app" }), SECRET_ID);
    assert!(refused(fetch(&wrong, &["old/app#password"]).await).contains("could not log in"));
    assert_eq!(server.lines(), ["POST /behind/v1/auth/approle/login"], "the path of the address comes first");

    let settings = json!({
        "kind": "vault", "url": server.url(), "role_id": "app", "namespace": "admin/one", "auth_mount": "team/apps",
    });
    let main = provider(settings, SECRET_ID);
    fetch(&main, &["secret/data/app#password"]).await.unwrap();
    let seen = server.take();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(
        lines,
        ["POST /v1/auth/team/apps/login", "GET /v1/secret/data/app", "POST /v1/auth/token/revoke-self"]
    );
    assert!(seen.iter().all(|seen| seen.header("x-vault-namespace") == "admin/one"));
    assert_eq!(seen[0].header("x-vault-token"), "");
    assert_eq!(seen[1].header("x-vault-token"), "hvs.of-the-role");

    // Also when reading fails.
    assert!(fetch(&main, &["secret/data/denied#x"]).await.is_err());
    assert_eq!(server.lines().last().unwrap(), "POST /v1/auth/token/revoke-self");
    assert_eq!(asks().look(&main).await.unwrap(), "logged in, with the policies default, app");
}

#[tokio::test]
async fn what_goes_wrong_is_said_with_what_to_do_and_no_secret() {
    let server = Server::start(vault).await;
    let main = provider(json!({ "kind": "vault", "url": server.url() }), TOKEN);
    for (place, part) in [
        ("secret/data/app#user", "secret/data/app has no field `user`"),
        ("secret/data/app#nested", "is no text"),
        ("secret/data/app#empty", "an empty one is never a usable one"),
        ("secret/app#password", "in an engine of version 2 `data` follows the mount"),
        ("secret/data/deleted#x", "its newest version is deleted"),
        ("secret/data/denied#x", "its policy must allow `read` on this path"),
        ("secret/data/standby#x", "redirects are not followed"),
        ("secret/data/odd#x", "the answer is no JSON"),
        ("secret/data/list#x", "holds no fields"),
        ("secret/data/long#x", "more than 1 MB"),
    ] {
        let text = refused(fetch(&main, &[place]).await);
        assert!(
            text.to_lowercase().contains(&part.to_lowercase()) && !text.contains("planted"),
            "{place}: {text}"
        );
    }
    let text = away(fetch(&main, &["secret/data/sealed#x"]).await);
    assert!(text.contains("it answered 503 (it says: Vault is sealed)"), "{text}");

    let stranger = provider(json!({ "kind": "vault", "url": server.url() }), "hvs.planted-other");
    let text = refused(fetch(&stranger, &["secret/data/app#password"]).await);
    assert!(text.contains("permission denied") && !text.contains("planted"), "{text}");
    let stranger =
        provider(json!({ "kind": "vault", "url": server.url(), "role_id": "app" }), "planted-other");
    let text = refused(asks().look(&stranger).await);
    assert!(text.contains("invalid role or secret ID") && !text.contains("planted"), "{text}");
}
