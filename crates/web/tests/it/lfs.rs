//! The server of Git LFS beside a repository: who may, where contents go and come from, and what a key for SSH is granted.

use std::sync::atomic::Ordering;

use axum::body::Body;
use havre_web::git::gateway::GitError;
use serde_json::{Value, json};

use crate::world::{World, read, send, soon};

const BASE: &str = "/git/dropit.git/info/lfs";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";

fn oid() -> String {
    "a".repeat(64)
}

fn question(operation: &str) -> Value {
    json!({ "operation": operation, "transfers": ["basic"], "objects": [{ "oid": oid(), "size": 7 }] })
}

async fn ask(world: &World, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let path = format!("{BASE}{path}");
    read(soon(send(&world.public, "POST", &path, headers, Body::from(body.to_string()))).await).await
}

/// A header line with a token of the installation.
async fn token(world: &World) -> String {
    let (_, made) = world.ask("POST", "/v1/tokens", json!({ "name": "ci" })).await;
    format!("Bearer {}", made["token"].as_str().expect("a token"))
}

async fn put(world: &World, line: &str, oid: &str, bytes: &str, body: &'static str) -> (u16, Value) {
    let headers = [("authorization", line), ("content-length", bytes)];
    let path = format!("{BASE}/objects/{oid}");
    read(soon(send(&world.public, "PUT", &path, &headers, Body::from(body))).await).await
}

#[tokio::test]
async fn a_content_is_pushed_verified_and_fetched() {
    let world = World::new();
    let line = token(&world).await;
    let headers = [("authorization", line.as_str()), ("host", "havre.example.org")];
    let (status, answer) = ask(&world, "/objects/batch", &headers, &question("upload")).await;
    let actions = &answer["objects"][0]["actions"];
    let href = format!("https://havre.example.org{BASE}/objects/{}", oid());
    assert_eq!((status, &actions["upload"]["href"]), (200, &json!(href)));
    assert_eq!(actions["upload"]["header"], json!({ "Authorization": line }), "once is enough for its bytes");
    assert_eq!(actions["verify"]["href"], json!(format!("https://havre.example.org{BASE}/verify")));
    let verify = json!({ "oid": oid(), "size": 7 });
    let (status, told) = ask(&world, "/verify", &headers, &verify).await;
    assert_eq!(status, 404, "{told}");

    assert_eq!(put(&world, &line, &oid(), "7", "content").await, (200, Value::Null));
    assert_eq!(ask(&world, "/verify", &headers, &verify).await, (200, json!({})));
    let (_, answer) = ask(&world, "/objects/batch", &headers, &question("upload")).await;
    assert_eq!(answer["objects"], json!([{ "oid": oid(), "size": 7 }]), "it is not sent again");
    let (_, answer) = ask(&world, "/objects/batch", &headers, &question("download")).await;
    assert_eq!(answer["objects"][0]["actions"]["download"]["href"], json!(href));
    let path = format!("{BASE}/objects/{}", oid());
    let response = send(&world.public, "GET", &path, &headers[..1], Body::empty()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"], "7");
    let bytes = soon(axum::body::to_bytes(response.into_body(), 100)).await.expect("a body");
    assert_eq!(&bytes[..], b"content");
}

#[tokio::test]
async fn an_address_is_the_one_that_is_asked() {
    let world = World::new();
    let ask = async |headers: &[(&str, &str)]| {
        let body = Body::from(question("upload").to_string());
        let path = format!("{BASE}/objects/batch");
        read(send(&world.local, "POST", &path, headers, body).await).await
    };
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("host", "localhost:7070")], "http://localhost:7070"),
        (&[("host", "Havre.example.org")], "https://havre.example.org"),
        (&[("host", "other.example.org"), ("x-forwarded-proto", "https")], "https://other.example.org"),
        (&[("host", "[::1]:7070")], "http://[::1]:7070"),
    ];
    for (headers, origin) in cases {
        let (status, answer) = ask(headers).await;
        let href = answer["objects"][0]["actions"]["upload"]["href"].clone();
        assert_eq!((status, href), (200, json!(format!("{origin}{BASE}/objects/{}", oid()))));
    }
    for host in ["", "a.org/x", "ada@a.org", "a.org:99999", "a.org?x"] {
        let (status, answer) = ask(&[("host", host)]).await;
        assert!(status == 400 && answer["message"].as_str().expect("text").contains("Host"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_refused_is_said_as_git_lfs_shows_it() {
    let world = World::new();
    let line = token(&world).await;
    let headers = [("authorization", line.as_str()), ("host", "havre.example.org")];
    let (status, answer) = ask(&world, "/objects/batch", &[], &question("upload")).await;
    assert_eq!(status, 401, "{answer}");
    let (_, answer) = ask(&world, "/objects/batch", &headers, &question("download")).await;
    assert_eq!(answer["objects"][0]["error"]["code"], 404);
    for (body, status) in [(json!([]), 422), (question("remove"), 422)] {
        let (found, answer) = ask(&world, "/objects/batch", &headers, &body).await;
        assert_eq!(found, status, "{answer}");
        assert!(answer["message"].is_string() && answer.get("code").is_none(), "{answer}");
    }
    let many: Vec<Value> =
        (0..1001).map(|place| json!({ "oid": format!("{place:064x}"), "size": 1 })).collect();
    let many = json!({ "operation": "upload", "objects": many });
    assert_eq!(ask(&world, "/objects/batch", &headers, &many).await.0, 413);
    for (oid, bytes, status) in [
        ("a", "7", 422),
        ("..%2Fx", "7", 422),
        (oid().as_str(), "99999999999", 413),
        (oid().as_str(), "x", 400),
    ] {
        assert_eq!(put(&world, &line, oid, bytes, "content").await.0, status, "{oid} {bytes}");
    }
    *world.git.fail.lock().expect("no holder panics") = Some(GitError::NoSpace);
    let (status, answer) = put(&world, &line, &oid(), "7", "content").await;
    assert_eq!(
        (status, &answer["message"]),
        (507, &json!("the server's disk is full: free some space on the server"))
    );
    assert!(world.git.contents.lock().expect("no holder panics").is_empty());
    for (method, path) in
        [("GET", "/locks"), ("POST", "/locks"), ("POST", "/locks/verify"), ("POST", "/locks/1/unlock")]
    {
        let response =
            send(&world.public, method, &format!("{BASE}{path}"), &headers, Body::from("{}")).await;
        assert_eq!(response.headers()["content-type"], "application/vnd.git-lfs+json");
        assert_eq!(response.status().as_u16(), 501, "`git lfs` goes on without locks then");
    }
}

/// What a key for SSH is granted: status and answer.
async fn grant(world: &World, project: &str, key: &str) -> (u16, String) {
    let path = format!("/git/{project}.git/info/lfs/grant");
    let response = send(&world.ssh, "POST", &path, &[("havre-ssh-key", key)], Body::empty()).await;
    let status = response.status().as_u16();
    let bytes = soon(axum::body::to_bytes(response.into_body(), 1024 * 1024)).await.expect("a body");
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_key_for_ssh_pushes_contents_to_its_project_for_some_minutes() {
    let world = World::new();
    let key = json!({ "name": "laptop", "project": "dropit", "public_key": KEY });
    assert_eq!(world.ask("POST", "/v1/ssh-keys", key).await.0, 201);
    assert_eq!(grant(&world, "other", "y1").await.0, 403);
    assert_eq!(grant(&world, "dropit", "y2").await.0, 401);
    let (status, text) = grant(&world, "dropit", "y1").await;
    let told: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &told["href"]), (200, &json!(format!("https://havre.example.org{BASE}"))));
    assert_eq!(told["expires_in"], 1800);
    let line = told["header"]["Authorization"].as_str().expect("a line").to_owned();
    let headers = [("authorization", line.as_str()), ("host", "havre.example.org")];
    let (status, answer) = ask(&world, "/objects/batch", &headers, &question("upload")).await;
    assert_eq!(
        (status, &answer["objects"][0]["actions"]["verify"]["header"]),
        (200, &json!({ "Authorization": line }))
    );
    assert_eq!(put(&world, &line, &oid(), "7", "content").await.0, 200);

    // Nothing else: no fetch, no other project, no other path.
    assert_eq!(ask(&world, "/objects/batch", &headers, &question("download")).await.0, 403);
    let get =
        async |path: &str| send(&world.public, "GET", path, &headers, Body::empty()).await.status().as_u16();
    assert_eq!(get(&format!("{BASE}/objects/{}", oid())).await, 401);
    assert_eq!(get("/v1/projects").await, 401);
    assert_eq!(get("/git/dropit.git/info/refs?service=git-upload-pack").await, 401);
    let path = format!("/git/other.git/info/lfs/objects/{}", oid());
    assert_eq!(send(&world.public, "PUT", &path, &headers, Body::empty()).await.status(), 403);
    // Nor by whoever has no key, where keys are not asked for.
    assert_eq!(world.ask("POST", &format!("{BASE}/grant"), Value::Null).await.0, 404);

    world.clock.fetch_add(1800 * 1000, Ordering::Relaxed);
    assert_eq!(put(&world, &line, &oid(), "7", "content").await.0, 401, "its time is over");
}

#[tokio::test]
async fn a_key_that_was_removed_pushes_no_contents() {
    let world = World::new();
    let key = json!({ "name": "laptop", "project": null, "public_key": KEY });
    assert_eq!(world.ask("POST", "/v1/ssh-keys", key).await.0, 201);
    let (_, text) = grant(&world, "dropit", "y1").await;
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let line = told["header"]["Authorization"].as_str().expect("a line");
    assert_eq!(put(&world, line, &oid(), "7", "content").await.0, 200);
    assert_eq!(world.ask("DELETE", "/v1/ssh-keys/laptop", Value::Null).await.0, 204);
    assert_eq!(put(&world, line, &oid(), "7", "content").await.0, 401);
}
