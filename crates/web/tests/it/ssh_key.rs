//! Keys for SSH: added, listed, removed; and what the program behind sshd may do with one.

use axum::body::Body;
use havre_core::event::Actor;
use havre_core::source::RefName;
use havre_web::git::gateway::Pushed;
use serde_json::{Value, json};

use crate::world::{World, read, send, soon};

const PATH: &str = "/v1/ssh-keys";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";
const FINGERPRINT: &str = "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc";
const REFS: &str = "/git/dropit.git/info/refs?service=git-receive-pack";

async fn add(world: &World, name: &str, project: Option<&str>) -> (u16, Value) {
    world.ask("POST", PATH, json!({ "name": name, "project": project, "public_key": KEY })).await
}

/// A request of the program behind sshd: status and text.
async fn ask(world: &World, method: &str, path: &str, key: &str, body: &'static str) -> (u16, String) {
    let response = send(&world.ssh, method, path, &[("havre-ssh-key", key)], Body::from(body)).await;
    let status = response.status().as_u16();
    let bytes = soon(axum::body::to_bytes(response.into_body(), 1024 * 1024)).await.expect("a body");
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn the_life_of_a_key() {
    let world = World::new();
    let shown = json!({
        "id": "y1", "name": "laptop", "project": "dropit", "fingerprint": FINGERPRINT, "public_key": KEY,
        "created_at": "2026-11-24T10:00:00.000Z", "last_used_at": null,
    });
    assert_eq!(add(&world, "laptop", Some("dropit")).await, (201, shown.clone()));
    let (status, body) = add(&world, "laptop", None).await;
    assert_eq!((status, &body["code"]), (409, &json!("name_taken")));
    let (status, body) = add(&world, "other", None).await;
    assert_eq!(
        (status, &body["message"]),
        (409, &json!("this very key is known already, as laptop")),
        "{body}"
    );
    assert_eq!(world.get(PATH).await, (200, json!({ "ssh_keys": [shown] })));
    assert_eq!(world.ask("DELETE", "/v1/ssh-keys/laptop", Value::Null).await, (204, Value::Null));
    let (status, body) = world.ask("DELETE", "/v1/ssh-keys/laptop", Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("ssh_key_not_found")));
    assert_eq!(world.get(PATH).await, (200, json!({ "ssh_keys": [] })));
    let (_, body) = add(&world, "other", None).await;
    assert_eq!((&body["id"], &body["project"]), (&json!("y2"), &Value::Null));
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_never_repeated() {
    let world = World::new();
    for (key, says) in [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nplanted", "this is a private key"),
        ("ssh-dss planted", "DSA keys are too weak"),
        ("command=\"planted\" ssh-ed25519 AAAA", "without options"),
        ("ssh-ed25519 planted!", "not base64"),
    ] {
        let (status, body) = world.ask("POST", PATH, json!({ "name": "laptop", "public_key": key })).await;
        let text = body.to_string();
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(says) && !text.contains("planted"), "{text}");
    }
    let (status, _) = world.ask("POST", PATH, json!({ "name": "-x", "public_key": KEY })).await;
    assert_eq!(status, 400);
    assert_eq!(world.get(PATH).await, (200, json!({ "ssh_keys": [] })));
}

#[tokio::test]
async fn the_program_behind_sshd_finds_keys_by_their_fingerprint() {
    let world = World::new();
    let path = format!("/ssh/v1/key?fingerprint={}", FINGERPRINT.replace('+', "%2B"));
    let find = async || read(send(&world.ssh, "GET", &path, &[], Body::empty()).await).await;
    assert_eq!(find().await.0, 404);
    add(&world, "laptop", None).await;
    assert_eq!(find().await, (200, json!({ "id": "y1", "public_key": KEY })));
    let wrong = send(&world.ssh, "GET", "/ssh/v1/key?fingerprint=x", &[], Body::empty()).await;
    assert_eq!(wrong.status(), 400);
    world.ask("DELETE", "/v1/ssh-keys/laptop", Value::Null).await;
    assert_eq!(find().await.0, 404);
}

#[tokio::test]
async fn a_key_is_for_its_project_until_it_is_removed() {
    let world = World::new();
    let unknown = "this key is not known any more\nadd it on the server with `havre ssh-key add NAME`\n";
    for key in ["y1", "", "k1", "1", "y1 "] {
        assert_eq!(ask(&world, "GET", REFS, key, "").await, (401, unknown.to_owned()), "{key:?}");
    }
    add(&world, "laptop", Some("dropit")).await;
    let told = "git-receive-pack of dropit, version 2: false".to_owned();
    assert_eq!(ask(&world, "GET", REFS, "y1", "").await, (200, told));
    let (_, keys) = world.get(PATH).await;
    assert_eq!(keys["ssh_keys"][0]["last_used_at"], json!("2026-11-24T10:00:00.000Z"));
    let elsewhere = [
        ("GET", "/git/shop.git/info/refs?service=git-receive-pack"),
        ("POST", "/git/shop.git/git-receive-pack"),
        ("POST", "/git/shop/git-receive-pack"),
    ];
    for (method, path) in elsewhere {
        let (status, text) = ask(&world, method, path, "y1", "").await;
        assert_eq!(status, 403, "{path}");
        assert!(text.starts_with("the key laptop is not for the project shop\n"), "{text}");
    }
    // Written otherwise, it is none of the names there are, whatever it would be decoded to.
    for path in ["/git/%64ropit.git/git-receive-pack", "/git/..%2Fshop.git/git-receive-pack"] {
        assert_eq!(ask(&world, "POST", path, "y1", "").await.0, 400, "{path}");
    }
    world.ask("DELETE", "/v1/ssh-keys/laptop", Value::Null).await;
    assert_eq!(ask(&world, "GET", REFS, "y1", "").await.0, 401, "a file may still name it");
}

#[tokio::test]
async fn a_push_names_the_key_that_made_it() {
    let world = World::new();
    add(&world, "laptop", None).await;
    let main: RefName = "refs/heads/main".parse().expect("is a ref");
    let commit = "a".repeat(40).parse().expect("is a commit");
    let moved = Pushed { reference: main.clone(), commit: Some(commit) };
    *world.git.moves.lock().expect("no holder panics") = vec![moved];
    let router = world.ssh.clone();
    let pushing = tokio::spawn(async move {
        let headers = [("havre-ssh-key", "y1")];
        send(&router, "POST", "/git/dropit.git/git-receive-pack", &headers, Body::from("pack")).await
    });
    let row = soon(async {
        loop {
            let (project, main) = ("dropit".parse().expect("is a name"), main.clone());
            let row = world.store.read(move |view| view.find_ref(&project, &main)).await.expect("a read");
            match row {
                Some(row) => return row,
                None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    })
    .await;
    assert_eq!(row.pushed_by, Actor::SshKey { name: "laptop".to_owned() });
    assert_eq!(soon(pushing).await.expect("it is answered").status(), 200);
}
