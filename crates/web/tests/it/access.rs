//! The gate: nobody gets in without a valid token, and tokens are handled on the machine only.

use std::sync::atomic::Ordering;

use axum::body::Body;
use serde_json::{Value, json};

use crate::world::{World, read, send};

async fn with_token(world: &World, method: &str, path: &str, token: &str) -> (u16, Value) {
    let header = format!("Bearer {token}");
    read(send(&world.public, method, path, &[("authorization", &header)], Body::empty()).await).await
}

async fn make_token(world: &World, name: &str) -> String {
    let (status, body) = world.ask("POST", "/v1/tokens", json!({ "name": name })).await;
    assert_eq!(status, 201, "{body}");
    body["token"].as_str().expect("a token").to_owned()
}

fn unauthorised() -> Value {
    json!({
        "code": "unauthorised",
        "message": "a valid access token is needed",
        "hint": "make one on the server with `havre token create <name>` and send it as `Authorization: Bearer havre_...`",
    })
}

/// Every operation of the document with example values in its path.
fn operations() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&havre_web::openapi()).expect("JSON");
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path
            .replace("{project}", "dropit")
            .replace("{environment}", "production")
            .replace("{service}", "api")
            .replace("{deployment}", "d1")
            .replace("{build}", "b1")
            .replace("{pipeline}", "i1")
            .replace("{repository}", "dropit.git")
            .replace("{certificate}", "c1")
            .replace("{issuer}", "own")
            .replace("{provider}", "github")
            .replace("{zone}", "example.org")
            .replace("{host}", "registry.example.org")
            .replace("{job}", "cleanup")
            .replace("{run}", "j1")
            .replace("{number}", "7")
            .replace("{ssh_key}", "laptop")
            .replace("{target}", "disk-two")
            .replace("{backup_run}", "u1")
            .replace("{name}", "JWT_SECRET")
            .replace("{oid}", &"a".repeat(64))
            .replace("{lock}", "1")
            .replace("{token}", "ci");
        for method in item.as_object().expect("operations").keys() {
            found.push((method.to_uppercase(), path.clone()));
        }
    }
    found
}

#[tokio::test]
async fn no_route_answers_without_a_token() {
    let world = World::new();
    let public = ["/v1/health", "/v1/openapi.json"];
    let mut refused = 0;
    for (method, path) in operations() {
        let response = send(&world.public, &method, &path, &[], Body::empty()).await;
        if public.contains(&path.as_str()) {
            assert_eq!(response.status(), 200, "{method} {path}");
            continue;
        }
        // Senders of webhooks prove by a signature who they are.
        if path.starts_with("/v1/hooks/") {
            let (status, body) = read(response).await;
            assert_eq!((status, &body["code"]), (401, &json!("delivery_refused")), "{method} {path}");
            continue;
        }
        let scheme = if path.starts_with("/git/") { "Basic " } else { "Bearer" };
        let asked = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        assert!(asked.starts_with(scheme), "{method} {path}: {asked}");
        assert_eq!(read(response).await, (401, unauthorised()), "{method} {path}");
        refused += 1;
    }
    assert_eq!(refused, 141);
    // Neither unknown paths nor unknown methods nor the edge's own paths tell anything.
    for (method, path) in
        [("GET", "/"), ("GET", "/v1/nothing"), ("PATCH", "/v1/projects"), ("GET", "/edge/v1/table")]
    {
        let response = send(&world.public, method, path, &[], Body::empty()).await;
        assert_eq!(read(response).await, (401, unauthorised()), "{method} {path}");
    }
}

#[tokio::test]
async fn only_the_whole_right_token_opens() {
    let world = World::new();
    let token = make_token(&world, "ci").await;
    let (status, body) = with_token(&world, "GET", "/v1/projects", &token).await;
    assert_eq!((status, body), (200, json!({ "projects": [] })));

    let other = format!("havre_{}", "00".repeat(32));
    for wrong in ["", "havre_", &token[..69], &format!("{token}0"), &token.to_uppercase(), &other] {
        assert_eq!(
            with_token(&world, "GET", "/v1/projects", wrong).await,
            (401, unauthorised()),
            "{wrong:?}"
        );
    }
    let basic = [("authorization", format!("Basic {token}"))];
    let twice = [("authorization", format!("Bearer {token}")), ("authorization", format!("Bearer {other}"))];
    for headers in [&basic[..], &twice[..]] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = send(&world.public, "GET", "/v1/projects", &headers, Body::empty()).await;
        assert_eq!(read(response).await, (401, unauthorised()), "{headers:?}");
    }
}

#[tokio::test]
async fn tokens_are_handled_on_the_machine_only() {
    let world = World::new();
    let token = make_token(&world, "ci").await;
    for (method, path) in [
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/ci"),
        ("GET", "/v1/ssh-keys"),
        ("POST", "/v1/ssh-keys"),
        ("DELETE", "/v1/ssh-keys/laptop"),
        ("PUT", "/v1/backup-targets/disk-two"),
        ("DELETE", "/v1/backup-targets/disk-two"),
        ("POST", "/v1/backup-targets/disk-two/kit"),
    ] {
        let (status, body) = with_token(&world, method, path, &token).await;
        assert_eq!(
            (status, body),
            (
                403,
                json!({
                    "code": "machine_only",
                    "message": "access tokens, keys for SSH and backup targets are handled on the server's own machine only",
                    "hint": "log in to the server and run the command there",
                })
            ),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn the_life_of_a_token() {
    let world = World::new();
    let (status, made) = world.ask("POST", "/v1/tokens", json!({ "name": "ci" })).await;
    let token = format!("havre_{}", "01".repeat(32));
    assert_eq!((status, made), (201, json!({ "id": "k1", "name": "ci", "token": token })));
    let (status, taken) = world.ask("POST", "/v1/tokens", json!({ "name": "ci" })).await;
    assert_eq!((status, &taken["code"]), (409, &json!("name_taken")));

    let created = "2026-11-24T10:00:00.000Z";
    let listed = |last: Value| json!({ "tokens": [{ "id": "k1", "name": "ci", "created_at": created, "last_used_at": last }] });
    assert_eq!(world.get("/v1/tokens").await, (200, listed(Value::Null)));
    world.clock.fetch_add(5_000, Ordering::Relaxed);
    with_token(&world, "GET", "/v1/projects", &token).await;
    // Kept to the minute: no write with every request.
    world.clock.fetch_add(5_000, Ordering::Relaxed);
    with_token(&world, "GET", "/v1/projects", &token).await;
    assert_eq!(world.get("/v1/tokens").await, (200, listed(json!("2026-11-24T10:00:05.000Z"))));

    assert_eq!(world.ask("DELETE", "/v1/tokens/ci", Value::Null).await, (204, Value::Null));
    assert_eq!(with_token(&world, "GET", "/v1/projects", &token).await, (401, unauthorised()));
    let (status, gone) = world.ask("DELETE", "/v1/tokens/ci", Value::Null).await;
    assert_eq!((status, &gone["code"]), (404, &json!("token_not_found")));
}

#[tokio::test]
async fn changes_name_the_token_that_made_them() {
    let world = World::new();
    let token = make_token(&world, "ci").await;
    let header = format!("Bearer {token}");
    let body = json!({ "services": [crate::world::site("web", "dropit.example")] }).to_string();
    let response =
        send(&world.public, "PUT", crate::world::ENVIRONMENT, &[("authorization", &header)], body.into())
            .await;
    assert_eq!(response.status(), 200);
    let events = world.store.read(|view| view.events(0, None, 100)).await.expect("events");
    let actors: Vec<String> = events.iter().map(|event| format!("{}: {}", event.actor, event.kind)).collect();
    assert_eq!(actors, ["local: access token ci created", "token ci: service created"]);
}

#[tokio::test]
async fn secrets_stay_out_of_the_store_and_of_debug_texts() {
    let world = World::new();
    let token = make_token(&world, "ci").await;
    let digits = token[6..].to_owned();
    for entry in std::fs::read_dir(world.folder.path()).expect("the folder") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        assert!(!bytes.windows(digits.len()).any(|part| part == digits.as_bytes()), "the token is on disk");
    }
    let state = format!("{:?}", world.state);
    assert!(!state.contains("planted-probe-key"), "{state}");
    let shown = havre_api::access::CreateTokenResponse {
        id: havre_core::id::TokenId::new(1),
        name: "ci".parse().expect("a name"),
        token,
    };
    assert!(!format!("{shown:?}").contains(&digits));
}

#[tokio::test]
async fn the_edges_socket_serves_nothing_else() {
    let world = World::new();
    for (method, path) in operations() {
        let response = send(&world.edge, &method, &path, &[], Body::empty()).await;
        assert_eq!(read(response).await.0, 404, "{method} {path}");
    }
    let response = send(&world.local, "GET", "/edge/v1/table", &[], Body::empty()).await;
    assert_eq!(read(response).await.0, 404);
}

#[tokio::test]
async fn the_socket_behind_sshd_serves_pushes_and_nothing_else() {
    let world = World::new();
    for (method, path) in operations() {
        let status = send(&world.ssh, &method, &path, &[], Body::empty()).await.status().as_u16();
        let is_push = path.ends_with("/git-receive-pack") || path.ends_with("/info/refs");
        assert_eq!(status, if is_push { 401 } else { 404 }, "{method} {path}");
    }
    for path in
        ["/", "/edge/v1/table", "/ssh/v1/keys", "/git/dropit.git/git-upload-pack", "/git/dropit.git/HEAD"]
    {
        let response = send(&world.ssh, "GET", path, &[("havre-ssh-key", "y1")], Body::empty()).await;
        assert_eq!(response.status(), 404, "{path}");
    }
    let lookup = "/ssh/v1/key?fingerprint=SHA256:W8RG7bKgVt4c%2BDEkLgjyPvgVOvZxS86TB5i/qZ7KmGc";
    for router in [&world.local, &world.edge] {
        assert_eq!(send(router, "GET", lookup, &[], Body::empty()).await.status(), 404);
    }
    assert_eq!(send(&world.public, "GET", lookup, &[], Body::empty()).await.status(), 401);
}
