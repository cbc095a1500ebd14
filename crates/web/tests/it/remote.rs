//! Remote repositories: set, shown without the token, removed; and what none is.

use havre_core::event::Actor;
use havre_core::pipeline::Cause;
use havre_core::pipeline::status::CommitStatus;
use havre_core::preview::{Preview, State, TTL};
use havre_core::time::Timestamp;
use havre_store::{CommentSaying, NewPipeline, TellingFailure};
use serde_json::{Value, json};

use crate::world::{World, send};

const PATH: &str = "/v1/projects/dropit/remote";
const URL: &str = "https://git.example.org/acme/dropit.git";

#[tokio::test]
async fn the_life_of_a_remote_repository() {
    let world = World::new();
    let (status, body) = world.get(PATH).await;
    assert_eq!((status, &body["code"]), (404, &json!("remote_not_found")));
    let (status, body) = world.ask("PUT", PATH, json!({ "url": URL, "token": "planted-token" })).await;
    let obstacle =
        "which forge is at this host is not known; say it with `havre remote set URL --forge NAME`";
    let shown = |has_token: bool| {
        json!({
            "project": "dropit", "url": URL, "has_token": has_token, "ssh": null, "created_at": "2026-11-24T10:00:00.000Z",
            "status": {
                "is_on": false, "forge": null, "has_token": false, "obstacle": obstacle, "quiet_until": null,
                "last": null,
            },
            "comments": { "is_on": false, "obstacle": obstacle, "last": null },
        })
    };
    assert_eq!((status, body), (200, shown(true)));
    assert_eq!(world.get(PATH).await, (200, shown(true)));
    assert_eq!(
        world.ask("PUT", PATH, json!({ "url": URL })).await,
        (200, shown(false)),
        "a token is for one address"
    );
    assert_eq!(world.ask("DELETE", PATH, Value::Null).await, (204, Value::Null));
    let (status, body) = world.ask("DELETE", PATH, Value::Null).await;
    assert_eq!((status, &body["code"]), (404, &json!("remote_not_found")));
    let events = world.store.read(|view| view.events(0, None, 100)).await.expect("events");
    let events: Vec<String> = events.iter().map(|event| format!("{}: {}", event.actor, event.kind)).collect();
    assert_eq!(
        events,
        [
            "local: dropit is fetched from https://git.example.org/acme/dropit.git",
            "local: dropit is fetched from https://git.example.org/acme/dropit.git",
            "local: dropit has no remote repository any more",
        ]
    );
}

#[tokio::test]
async fn what_is_none_is_refused_and_never_repeated() {
    let world = World::new();
    for (url, status, says) in [
        ("https://ada:planted@git.example.org/x.git", 400, "leave it out"),
        ("git@git.example.org:x.git", 422, "which key git.example.org has is not known"),
        ("ssh://-oProxyCommand=planted/", 400, "not of the form"),
        ("ssh://-oProxyCommand=planted@git.example.org/x.git", 400, "not of the form"),
        ("git@-oProxyCommand=planted:x.git", 400, "not of the form"),
        ("git@git.example.org:-planted", 400, "not of the form"),
        ("ext::sh -c planted", 400, "not of the form"),
        ("--upload-pack=planted", 400, "not of the form"),
        ("file:///etc/planted", 400, "not of the form"),
        ("http://git.example.org/x.git", 422, "https:// only"),
    ] {
        let (found, body) = world.ask("PUT", PATH, json!({ "url": url })).await;
        assert_eq!(found, status, "{url}: {body}");
        let text = body.to_string();
        assert!(text.contains(says) && !text.contains("planted"), "{url}: {text}");
    }
    for token in ["", "two words", "a\nb"] {
        let (status, body) = world.ask("PUT", PATH, json!({ "url": URL, "token": token })).await;
        assert_eq!((status, &body["code"]), (422, &json!("remote_invalid")), "{token:?}");
    }
    let response = send(&world.local, "PUT", PATH, &[], "{\"url\":1}".into()).await;
    assert_eq!(response.status(), 400);
}

/// What is shown of telling the forge.
async fn set(world: &World, request: Value) -> Value {
    let (status, body) = world.ask("PUT", PATH, request).await;
    assert_eq!(status, 200, "{body}");
    assert!(!body.to_string().contains("planted"), "{body}");
    body["status"].clone()
}

#[tokio::test]
async fn a_forge_is_told_when_it_is_known_and_there_is_a_token() {
    let world = World::new();
    let github = "https://github.com/acme/dropit.git";
    for (request, is_on, forge, obstacle) in [
        (
            json!({ "url": URL, "token": "planted" }),
            false,
            Value::Null,
            "which forge is at this host is not known",
        ),
        (json!({ "url": URL, "token": "planted", "forge": "forgejo" }), true, json!("gitea"), ""),
        (json!({ "url": github, "token": "planted" }), true, json!("github"), ""),
        (json!({ "url": github }), false, json!("github"), "there is no token"),
        (json!({ "url": github, "status_token": "planted" }), true, json!("github"), ""),
        (
            json!({ "url": github, "token": "planted", "no_status": true }),
            false,
            json!("github"),
            "somebody set it so",
        ),
    ] {
        let has_token = request.get("status_token").is_some();
        let status = set(&world, request.clone()).await;
        assert_eq!((&status["is_on"], &status["forge"]), (&json!(is_on), &forge), "{request}");
        assert_eq!(status["has_token"], json!(has_token), "{request}");
        let said = status["obstacle"].as_str().unwrap_or_default();
        assert!(said.starts_with(obstacle) && said.is_empty() == obstacle.is_empty(), "{request}: {said}");
    }
    let (status, _) = world.ask("PUT", PATH, json!({ "url": URL, "forge": "gogs" })).await;
    assert_eq!(status, 400);
    let (status, body) = world.ask("PUT", PATH, json!({ "url": URL, "status_token": "two words" })).await;
    assert_eq!((status, &body["code"]), (422, &json!("remote_invalid")));
}

#[tokio::test]
async fn what_the_forge_was_told_is_shown() {
    let world = World::new();
    set(&world, json!({ "url": "https://github.com/acme/dropit.git", "token": "planted" })).await;
    let id = world
        .write(|tx| {
            let pipeline = tx.create_pipeline(NewPipeline {
                project: "dropit".parse().expect("is a name"),
                environment: "production".parse().expect("is a name"),
                reference: "refs/heads/main".parse().expect("is a ref"),
                commit: "a".repeat(40).parse().expect("is a commit"),
                subject: "Say hello".to_owned(),
                author: "Ada".to_owned(),
                cause: Cause::Push { by: Actor::Local },
            })?;
            Ok(pipeline.id)
        })
        .await;
    let (_, pipeline) = world.get("/v1/pipelines/i1").await;
    let nothing = json!({ "pipeline": "i1", "told": null, "told_at": null, "reason": null, "next_at": null });
    assert_eq!(pipeline["status"], nothing);
    assert_eq!(world.get(PATH).await.1["status"]["last"], Value::Null, "nothing was told yet");
    let next = Timestamp::from_millis(crate::world::START + 5_000);
    world
        .write(move |tx| {
            let row = tx.find_status(id)?.expect("its forge is told");
            tx.status_told(&row, CommitStatus::Pending)?;
            let row = tx.find_status(id)?.expect("its forge is told");
            let failure = TellingFailure {
                reason: "no answer".to_owned(),
                next_at: Some(next),
                quiet_until: Some(next),
            };
            tx.status_failed(&row, CommitStatus::Running, failure)
        })
        .await;
    let last = json!({
        "pipeline": "i1", "told": "pending", "told_at": "2026-11-24T10:00:00.000Z", "reason": "no answer",
        "next_at": "2026-11-24T10:00:05.000Z",
    });
    assert_eq!(world.get("/v1/pipelines/i1").await.1["status"], last);
    let (_, body) = world.get(PATH).await;
    let status = &body["status"];
    assert_eq!((&status["last"], &status["quiet_until"]), (&last, &json!("2026-11-24T10:00:05.000Z")));
}

#[tokio::test]
async fn comments_are_switched_by_themselves_and_what_became_of_them_is_shown() {
    let world = World::new();
    let github = "https://github.com/acme/dropit.git";
    let comments = async || world.get(PATH).await.1["comments"].clone();
    set(&world, json!({ "url": github, "token": "planted", "no_comments": true })).await;
    let off = json!({ "is_on": false, "obstacle": "somebody set it so (`--no-comments`)", "last": null });
    assert_eq!((comments().await, &world.get(PATH).await.1["status"]["is_on"]), (off, &json!(true)));
    set(&world, json!({ "url": github, "token": "planted", "no_status": true })).await;
    assert_eq!(comments().await, json!({ "is_on": true, "obstacle": null, "last": null }));
    world
        .write(|tx| {
            let number = "7".parse().expect("is a number");
            tx.put_preview(&Preview {
                project: "dropit".parse().expect("is a name"),
                number,
                commit: "a".repeat(40).parse().expect("is a commit"),
                branch: "feature/x".parse().expect("is a branch"),
                base: "main".parse().expect("is a branch"),
                base_commit: "b".repeat(40).parse().expect("is a commit"),
                is_fork: false,
                state: State::Open { since: tx.at() },
                pushed_at: tx.at(),
                ttl: TTL,
            })?;
            let row = tx.find_comment(&"dropit".parse().expect("is a name"), number)?.expect("is expected");
            let failure = TellingFailure { reason: "no right".to_owned(), next_at: None, quiet_until: None };
            tx.comment_failed(&row, &CommentSaying::of("Hello", false), false, failure)
        })
        .await;
    let last = json!({ "number": 7, "told_at": null, "reason": "no right", "next_at": null });
    assert_eq!(comments().await["last"], last);
}
