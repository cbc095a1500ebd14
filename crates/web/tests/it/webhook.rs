//! Webhooks: who is believed, what is remembered, and what a sender is answered.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::pipeline::Cause;
use havre_core::pipeline::push::Verdict;
use havre_core::source::{CommitId, RefName};
use havre_store::{FetchRow, NewPipeline};
use havre_web::Limits;
use havre_webhook::verify::sign;
use serde_json::{Value, json};

use crate::world::{World, read, send, soon};

const SECRET: &str = "correct horse battery staple";
const GITHUB: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/github.push.main.json");
const GITLAB: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/gitlab.push.main.json");
const GITEA: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/gitea.push.main.json");
const GENERIC: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/generic.push.main.json");

fn project() -> ProjectName {
    "dropit".parse().expect("is a name")
}

fn after(body: &[u8]) -> CommitId {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    body["after"].as_str().expect("a commit").parse().expect("a commit")
}

fn hex(body: &[u8]) -> String {
    sign(SECRET.as_bytes(), body).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// As GitHub signs it.
async fn github(world: &World, event: &str, delivery: &str, body: &[u8]) -> (u16, Value) {
    let signature = format!("sha256={}", hex(body));
    let headers = [
        ("x-github-event", event),
        ("x-github-delivery", delivery),
        ("x-hub-signature-256", signature.as_str()),
    ];
    deliver(world, "github", &headers, body).await
}

async fn deliver(world: &World, provider: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let path = format!("/v1/hooks/dropit/{provider}");
    read(soon(send(&world.public, "POST", &path, headers, Body::from(body.to_vec()))).await).await
}

/// A project with a remote repository and a webhook of this sender. Nobody waits long for what follows.
async fn world(provider: &str) -> World {
    let world = World::with(Limits { delivery_wait: Duration::from_millis(300), ..Limits::default() });
    with_webhook(&world, provider).await;
    world
}

async fn with_webhook(world: &World, provider: &str) {
    let remote = json!({ "url": "https://git.example.org/acme/dropit.git" });
    assert_eq!(world.ask("PUT", "/v1/projects/dropit/remote", remote).await.0, 200);
    let path = format!("/v1/projects/dropit/webhooks/{provider}");
    assert_eq!(world.ask("PUT", &path, json!({ "secret": SECRET })).await.0, 200);
}

async fn fetches(world: &World) -> Vec<FetchRow> {
    world.store.read(|view| view.list_fetches()).await.expect("a read")
}

#[tokio::test]
async fn the_life_of_a_webhook() {
    let world = World::new();
    let list = "/v1/projects/dropit/webhooks";
    assert_eq!(world.get(list).await, (200, json!({ "webhooks": [] })));
    let path = "/v1/projects/dropit/webhooks/github";
    let (hook, fresh) = ("/v1/hooks/dropit/github", "01".repeat(32));
    let made = json!({ "project": "dropit", "provider": "github", "path": hook, "secret": fresh });
    assert_eq!(world.ask("PUT", path, Value::Null).await, (200, made));
    let (status, body) = world.ask("PUT", path, json!({ "secret": SECRET })).await;
    assert_eq!((status, &body["secret"]), (200, &json!(SECRET)));
    let (status, body) = world.ask("PUT", "/v1/projects/dropit/webhooks/forgejo", Value::Null).await;
    assert_eq!((status, &body["path"]), (200, &json!("/v1/hooks/dropit/gitea")));
    let row = |provider: &str| {
        json!({ "project": "dropit", "provider": provider, "path": format!("/v1/hooks/dropit/{provider}"),
            "created_at": "2026-11-24T10:00:00.000Z" })
    };
    assert_eq!(world.get(list).await, (200, json!({ "webhooks": [row("gitea"), row("github")] })));
    assert_eq!(world.ask("DELETE", path, Value::Null).await, (204, Value::Null));
    let (status, body) = world.ask("DELETE", path, Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("webhook_not_found")));
    for (provider, secret) in [("github", ""), ("github", "short"), ("gitlab", "whsec_not base64 at all")] {
        let path = format!("/v1/projects/dropit/webhooks/{provider}");
        let (status, body) = world.ask("PUT", &path, json!({ "secret": secret })).await;
        assert_eq!((status, &body["code"]), (422, &json!("webhook_invalid")), "{provider} {secret:?}");
    }
    assert_eq!(world.ask("PUT", "/v1/projects/dropit/webhooks/gogs", Value::Null).await.0, 400);
}

#[tokio::test]
async fn every_sender_is_believed_in_its_own_way() {
    for (provider, body) in [("github", GITHUB), ("gitlab", GITLAB), ("gitea", GITEA), ("generic", GENERIC)] {
        let world = world(provider).await;
        let (signed, prefixed) = (hex(body), format!("sha256={}", hex(body)));
        let headers: Vec<(&str, &str)> = match provider {
            "github" => vec![("x-github-event", "push"), ("x-hub-signature-256", prefixed.as_str())],
            "gitlab" => vec![("x-gitlab-event", "Push Hook"), ("x-gitlab-token", SECRET)],
            "gitea" => vec![("x-gitea-event", "push"), ("x-gitea-signature", signed.as_str())],
            _ => vec![("x-havre-signature", prefixed.as_str())],
        };
        let answer = deliver(&world, provider, &headers, body).await;
        assert_eq!(answer, (202, json!({ "action": "accepted" })), "{provider}");
        let found = fetches(&world).await;
        assert_eq!(found.len(), 1, "{provider}");
        assert_eq!(found[0].reference.as_str(), "refs/heads/main", "{provider}");
        assert_eq!(found[0].wanted, Some(after(body)), "{provider}");
        assert_eq!(found[0].asked_by, Actor::Webhook { provider: provider.to_owned() });
    }
}

#[tokio::test]
async fn whoever_does_not_know_the_secret_is_told_nothing() {
    let world = world("github").await;
    let refused = (
        401,
        json!({
            "code": "delivery_refused",
            "message": "the delivery proves nothing",
            "hint": "enter the secret of the webhook at the sender; the log of havred says more",
        }),
    );
    let right = format!("sha256={}", hex(GITHUB));
    let mut flipped = GITHUB.to_vec();
    flipped[10] ^= 1;
    let headers = |signature: &'static str| [("x-github-event", "push"), ("x-hub-signature-256", signature)];
    let signed = [("x-github-event", "push"), ("x-hub-signature-256", right.as_str())];
    assert_eq!(deliver(&world, "github", &signed, &flipped).await, refused, "one bit");
    assert_eq!(deliver(&world, "github", &[], GITHUB).await, refused, "no proof");
    assert_eq!(deliver(&world, "github", &headers("sha256=00"), GITHUB).await, refused, "a malformed one");
    assert_eq!(deliver(&world, "gitea", &signed, GITHUB).await, refused, "no such webhook");
    let elsewhere =
        send(&world.public, "POST", "/v1/hooks/nothing/github", &signed, Body::from(GITHUB)).await;
    assert_eq!(read(elsewhere).await, refused, "no such project");
    assert_eq!(fetches(&world).await, []);
    // What was refused is not remembered: the same may come again with the right proof.
    assert_eq!(deliver(&world, "github", &signed, GITHUB).await.0, 202);
}

#[tokio::test]
async fn a_delivery_counts_once() {
    let world = world("github").await;
    assert_eq!(github(&world, "push", "one", GITHUB).await.0, 202);
    let (status, body) = github(&world, "push", "one", GITHUB).await;
    assert_eq!((status, &body["code"]), (409, &json!("delivery_repeated")));
    let (status, body) = github(&world, "push", "made-up", GITHUB).await;
    assert_eq!((status, &body["code"]), (409, &json!("delivery_repeated")), "the same body");
}

#[tokio::test]
async fn what_starts_nothing_says_why() {
    let world = world("github").await;
    assert_eq!(github(&world, "ping", "1", b"{}").await, (200, json!({ "action": "pong" })));
    let (status, body) = github(&world, "star", "2", b"{\"a\":1}").await;
    assert_eq!(status, 200);
    assert_eq!(body, json!({ "action": "ignored", "reason": "events of the kind star are not used" }));
    let gone = json!({ "ref": "refs/heads/old", "before": "a".repeat(40), "after": "0".repeat(40),
        "repository": { "full_name": "acme/dropit" } });
    let answer = github(&world, "push", "3", gone.to_string().as_bytes()).await;
    assert_eq!(answer, (202, json!({ "action": "accepted" })), "the branch is removed here too");
    assert_eq!(fetches(&world).await[0].wanted, None);

    assert_eq!(world.ask("DELETE", "/v1/projects/dropit/remote", Value::Null).await.0, 204);
    let (status, body) = github(&world, "push", "4", GITHUB).await;
    let reason =
        "the project dropit has no remote repository to fetch from: set one with `havre remote set URL`";
    assert_eq!((status, body), (200, json!({ "action": "ignored", "reason": reason })));
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let world = world("github").await;
    let option = json!({ "ref": "refs/heads/--upload-pack=x", "before": "a".repeat(40), "after": "b".repeat(40),
        "repository": { "full_name": "acme/dropit" } });
    let deep = "[".repeat(100);
    for (delivery, body, status, code) in [
        ("1", "{}".to_owned(), 400, "payload_invalid"),
        ("2", deep, 400, "payload_invalid"),
        ("3", "payload=%7B%7D".to_owned(), 415, "payload_form"),
        ("4", option.to_string(), 422, "payload_refused"),
        ("two words", "{\"b\":1}".to_owned(), 400, "payload_invalid"),
    ] {
        let (found, answer) = github(&world, "push", delivery, body.as_bytes()).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{delivery}: {answer}");
    }
    let large = vec![b' '; 5 * 1024 * 1024 + 1];
    assert_eq!(github(&world, "push", "5", &large).await.0, 413);
}

/// What the loops do, once somebody asks.
async fn decide(world: &World, verdict: impl FnOnce(&mut havre_store::Tx<'_>) -> Verdict + Send + 'static) {
    let row = soon(async {
        loop {
            if let Some(row) = fetches(world).await.pop() {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    world
        .write(move |tx| {
            tx.note_push(&row.project, &row.reference, row.wanted.as_ref())?;
            tx.fetch_done(&row)?;
            let verdict = verdict(tx);
            tx.judge_ref(&row.project, &row.reference, &after(GITHUB), &verdict)
        })
        .await;
}

#[tokio::test]
async fn what_follows_is_answered() {
    let world = World::new();
    with_webhook(&world, "github").await;
    let started = |tx: &mut havre_store::Tx<'_>| {
        let reference: RefName = "refs/heads/main".parse().expect("is a ref");
        let pipeline = tx.create_pipeline(NewPipeline {
            project: project(),
            environment: "production".parse().expect("is a name"),
            reference,
            commit: after(GITHUB),
            subject: String::new(),
            author: String::new(),
            cause: Cause::Push { by: Actor::Webhook { provider: "github".to_owned() } },
        });
        Verdict::Started { pipelines: vec![pipeline.expect("a row").id] }
    };
    let (answer, ()) = tokio::join!(github(&world, "push", "one", GITHUB), decide(&world, started));
    let expected = json!({ "action": "started", "pipelines": ["i1"], "urls": ["/v1/pipelines/i1"] });
    assert_eq!(answer, (202, expected));
    let (_, pipeline) = world.get("/v1/pipelines/i1").await;
    assert_eq!(
        pipeline["cause"],
        json!({ "kind": "push", "by": { "kind": "webhook", "provider": "github" } })
    );

    let world = World::new();
    with_webhook(&world, "github").await;
    let ignored = |_: &mut havre_store::Tx<'_>| Verdict::Ignored { reason: "nobody follows main".to_owned() };
    let (answer, ()) = tokio::join!(github(&world, "push", "one", GITHUB), decide(&world, ignored));
    assert_eq!(answer, (200, json!({ "action": "ignored", "reason": "nobody follows main" })));
}
