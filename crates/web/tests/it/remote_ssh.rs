//! Remote repositories over SSH: whose host key is trusted, and deploy keys of which only one half is ever seen.

use havre_web::git::gateway::GitError;
use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/v1/projects/dropit/remote";
const KEYS: &str = "/v1/projects/dropit/remote/deploy-key";
const URL: &str = "git@git.example.org:acme/dropit.git";
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";
const FINGERPRINT: &str = "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc";
const OTHER: &str = "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4";

fn show(world: &World) {
    *world.git.host_keys.lock().expect("no holder panics") = vec![HOST_KEY.parse().expect("is a key")];
}

async fn set(world: &World, more: Value) -> (u16, Value) {
    let mut request = json!({ "url": URL });
    let fields = request.as_object_mut().expect("is one");
    fields.extend(more.as_object().expect("is one").clone());
    let (status, body) = world.ask("PUT", PATH, request).await;
    assert!(!body.to_string().contains("PRIVATE"), "{body}");
    (status, body)
}

#[tokio::test]
async fn a_host_key_is_trusted_because_somebody_says_so() {
    let world = World::new();
    let trusted = json!([{ "public_key": HOST_KEY, "fingerprint": FINGERPRINT }]);
    for (more, says) in [
        (json!({}), "which key git.example.org has is not known"),
        (json!({ "accept_new_host_key": true }), "shows no key of a kind"),
        (json!({ "host_key": FINGERPRINT }), "shows no key of a kind"),
        (json!({ "host_key": FINGERPRINT, "accept_new_host_key": true }), "not both"),
        (json!({ "host_key": "planted" }), "neither a fingerprint nor a key"),
        (json!({ "host_key": format!("evil.org {HOST_KEY}") }), "names other hosts"),
        (json!({ "token": "planted-token", "host_key": HOST_KEY }), "takes no token"),
        (json!({ "url": "https://git.example.org/x.git", "host_key": HOST_KEY }), "only an address for SSH"),
    ] {
        let (status, body) = set(&world, more.clone()).await;
        assert_eq!((status, &body["code"]), (422, &json!("remote_invalid")), "{more}: {body}");
        let text = body.to_string();
        assert!(text.contains(says) && !text.contains("planted"), "{more}: {text}");
    }
    assert_eq!(world.get(PATH).await.0, 404, "nothing was kept of what was refused");
    show(&world);
    let (status, body) = set(&world, json!({ "host_key": OTHER })).await;
    let text = body.to_string();
    assert!(status == 422 && text.contains(OTHER) && text.contains(FINGERPRINT), "{text}");
    for more in [
        json!({ "host_key": FINGERPRINT }),
        json!({ "host_key": format!("git.example.org {HOST_KEY}") }),
        json!({ "accept_new_host_key": true }),
        json!({}),
    ] {
        let (status, body) = set(&world, more.clone()).await;
        assert_eq!((status, &body["ssh"]["host_keys"]), (200, &trusted), "{more}: {body}");
    }
    *world.git.fail.lock().expect("no holder panics") =
        Some(GitError::Refused("it is at 10.0.0.1".to_owned()));
    let (status, body) = set(&world, json!({ "accept_new_host_key": true })).await;
    assert_eq!((status, &body["message"]), (422, &json!("it is at 10.0.0.1")));
}

#[tokio::test]
async fn a_deploy_key_stays_with_its_address_and_is_replaced_without_a_gap() {
    let world = World::new();
    let (status, body) = world.ask("POST", KEYS, Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("remote_not_found")));
    let keys = |body: &Value| -> Vec<String> {
        let all = body["ssh"]["deploy_keys"].as_array().expect("a list");
        all.iter().map(|key| key["public_key"].as_str().expect("is text").to_owned()).collect()
    };
    let first = keys(&set(&world, json!({ "host_key": HOST_KEY })).await.1);
    assert!(first.len() == 1 && first[0].starts_with("ssh-ed25519 ") && first[0].ends_with(" havre-dropit"));
    assert_eq!(keys(&set(&world, json!({ "no_status": true })).await.1), first, "the same address");
    let (status, body) = world.ask("POST", KEYS, Value::Null).await;
    let both = keys(&body);
    assert_eq!((status, both.len(), &both[1]), (200, 2, &first[0]), "{body}");
    assert_eq!(keys(&world.get(PATH).await.1), both);
    let confirm = format!("{KEYS}/confirm");
    for _ in 0..2 {
        let (status, body) = world.ask("POST", &confirm, Value::Null).await;
        assert_eq!((status, keys(&body)), (200, vec![both[0].clone()]), "{body}");
    }
    let other = json!({ "url": "git@git.example.org:acme/other.git", "host_key": HOST_KEY });
    assert_ne!(keys(&set(&world, other).await.1), [both[0].clone()], "a key is for one address");
    let (status, body) = set(&world, json!({ "url": "https://git.example.org/x.git" })).await;
    assert_eq!((status, &body["ssh"]), (200, &Value::Null));
    let (status, body) = world.ask("POST", &confirm, Value::Null).await;
    assert_eq!((status, &body["code"]), (422, &json!("remote_invalid")), "{body}");
}
