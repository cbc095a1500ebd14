//! `havre ssh-key`: what is sent, and what never is.

use serde_json::{Value, json};

use crate::world::Fake;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";

fn key(project: Value) -> Value {
    json!({
        "id": "y3", "name": "laptop", "project": project, "public_key": KEY, "last_used_at": null,
        "fingerprint": "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc",
        "created_at": "2026-11-24T10:00:00.000Z",
    })
}

#[tokio::test]
async fn a_key_is_added_and_its_fingerprint_shown() {
    let fake = Fake::start().await;
    fake.write("id.pub", &format!("{KEY}\n"));
    fake.answer("POST /v1/ssh-keys", 201, key(json!("dropit")));
    let (code, _, stderr) =
        fake.finish(&["ssh-key", "add", "laptop", "--project", "dropit", "--key-file", "id.pub"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains(
            "laptop (SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc) may push to the project dropit"
        ),
        "{stderr}"
    );
    fake.answer("GET /v1/ssh-keys", 200, json!({ "ssh_keys": [key(Value::Null)] }));
    let (code, stdout, _) = fake.finish(&["ssh-key", "list"]).await;
    assert_eq!(code, 0);
    assert!(stdout.contains("laptop  (every one)  SHA256:W8RG7bKgVt4c"), "{stdout}");
    assert!(stdout.contains("ada@laptop"), "{stdout}");
}

#[tokio::test]
async fn a_private_key_never_leaves_this_machine() {
    let fake = Fake::start().await;
    fake.write("id", "-----BEGIN OPENSSH PRIVATE KEY-----\nplanted\n-----END OPENSSH PRIVATE KEY-----\n");
    let (code, stdout, stderr) = fake.finish(&["ssh-key", "add", "laptop", "--key-file", "id"]).await;
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("this is a private key") && !stderr.contains("planted"), "{stderr}");
    assert_eq!(stdout, "");
    assert!(!fake.requests().iter().any(|request| request.contains("ssh-keys")), "{:?}", fake.requests());
}
