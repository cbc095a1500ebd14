//! Previews of pull requests: what deliveries of each sender come to, and previews opened, listed and closed by hand.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::pipeline::Cause;
use havre_core::pipeline::push::Verdict;
use havre_core::preview::{CloseReason, Preview, PullNumber, State, TTL};
use havre_core::source::{HeadAt, RefName};
use havre_store::{NewPipeline, Tx, WishRow};
use havre_web::Limits;
use havre_webhook::verify::sign;
use serde_json::{Value, json};

use crate::world::{World, read, send, site, soon};

const SECRET: &str = "correct horse battery staple";
const OPENED: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/github.pull_request.opened.json");
const LABELED: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/github.pull_request.labeled.json");
const FORK: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/github.pull_request.fork.json");
const GITLAB: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/gitlab.merge_request.open.json");
const GITEA: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/gitea.pull_request.opened.json");
const GITEA_CLOSED: &[u8] =
    include_bytes!("../../../webhook/tests/it/fixture/gitea.pull_request.closed.json");
const BITBUCKET: &[u8] =
    include_bytes!("../../../webhook/tests/it/fixture/bitbucket.pullrequest-created.opened.json");
const GENERIC: &[u8] = include_bytes!("../../../webhook/tests/it/fixture/generic.pull_request.opened.json");

const PREVIEWS: &str = "/v1/projects/dropit/previews";

fn project() -> ProjectName {
    "dropit".parse().expect("is a name")
}

fn number(number: u64) -> PullNumber {
    PullNumber::try_from(number).expect("is a number")
}

fn hex(body: &[u8]) -> String {
    sign(SECRET.as_bytes(), body).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

async fn deliver(world: &World, provider: &str, body: &[u8]) -> (u16, Value) {
    let (signed, prefixed) = (hex(body), format!("sha256={}", hex(body)));
    let headers: Vec<(&str, &str)> = match provider {
        "github" => vec![("x-github-event", "pull_request"), ("x-hub-signature-256", prefixed.as_str())],
        "gitlab" => vec![("x-gitlab-event", "Merge Request Hook"), ("x-gitlab-token", SECRET)],
        "gitea" => vec![("x-gitea-event", "pull_request"), ("x-gitea-signature", signed.as_str())],
        "bitbucket" => vec![("x-event-key", "pullrequest:created"), ("x-hub-signature", prefixed.as_str())],
        _ => vec![("x-havre-signature", prefixed.as_str())],
    };
    let path = format!("/v1/hooks/dropit/{provider}");
    read(soon(send(&world.public, "POST", &path, &headers, Body::from(body.to_vec()))).await).await
}

async fn with(world: &World, provider: &str, repository: &str) {
    let remote = json!({ "url": format!("https://git.example.org/{repository}.git") });
    assert_eq!(world.ask("PUT", "/v1/projects/dropit/remote", remote).await.0, 200);
    let path = format!("/v1/projects/dropit/webhooks/{provider}");
    assert_eq!(world.ask("PUT", &path, json!({ "secret": SECRET })).await.0, 200);
}

/// A project that is fetched from there and has a webhook of this sender. Nobody waits long for what follows.
async fn world(provider: &str, repository: &str) -> World {
    let world = World::with(Limits { delivery_wait: Duration::from_millis(300), ..Limits::default() });
    with(&world, provider, repository).await;
    world
}

async fn wishes(world: &World) -> Vec<WishRow> {
    world.store.read(|view| view.list_preview_wishes()).await.expect("a read")
}

fn open(pull: u64) -> Preview {
    let commit = |digit: &str| digit.repeat(40).parse().expect("is a commit");
    Preview {
        project: project(),
        number: number(pull),
        commit: commit("a"),
        branch: "feature/tides".parse().expect("is a branch"),
        base: "main".parse().expect("is a branch"),
        base_commit: commit("b"),
        is_fork: false,
        state: State::Open { since: havre_core::time::Timestamp::default() },
        pushed_at: havre_core::time::Timestamp::default(),
        ttl: TTL,
    }
}

fn ignored(reason: &str) -> (u16, Value) {
    (200, json!({ "action": "ignored", "reason": reason }))
}

#[tokio::test]
async fn every_sender_shows_its_pull_requests_in_its_own_way() {
    let branch = HeadAt::Branch { branch: "feature/tides".parse().expect("is a branch") };
    for (provider, repository, body, pull, at, knows_head) in [
        ("github", "lumen-labs/orrery", OPENED, 57, HeadAt::Pull, true),
        ("gitlab", "lumen-labs/platform/orrery", GITLAB, 19, HeadAt::MergeRequest, true),
        ("gitea", "lumen/orrery", GITEA, 4, HeadAt::Pull, true),
        ("bitbucket", "lumen-labs/orrery", BITBUCKET, 8, branch.clone(), false),
        ("generic", "lumen-labs/orrery", GENERIC, 3, branch.clone(), true),
    ] {
        let world = world(provider, repository).await;
        let answer = deliver(&world, provider, body).await;
        assert_eq!(answer, (202, json!({ "action": "accepted" })), "{provider}");
        let found = wishes(&world).await;
        let [row] = &found[..] else { panic!("{provider}: {found:?}") };
        assert_eq!((row.wish.number, &row.wish.at), (number(pull), &at), "{provider}");
        assert_eq!(
            (row.wish.branch.as_str(), row.wish.base.as_str()),
            ("feature/tides", "main"),
            "{provider}"
        );
        assert_eq!((row.wish.head.is_some(), row.wish.is_fork), (knows_head, false), "{provider}");
        assert_eq!(row.asked_by, Actor::Webhook { provider: provider.to_owned() });
    }
    let world = world("github", "lumen-labs/orrery").await;
    assert_eq!(deliver(&world, "github", FORK).await.0, 202);
    let row = wishes(&world).await.pop().expect("a wish");
    assert!(row.wish.is_fork, "whether that may be is said by the base branch");
}

#[tokio::test]
async fn what_starts_nothing_says_why() {
    let world = world("github", "acme/shop").await;
    let reason = "the pull request is one of lumen-labs/orrery, and dropit is fetched from https://git.example.org/acme/shop.git";
    assert_eq!(deliver(&world, "github", OPENED).await, ignored(reason));
    let world = self::world("github", "lumen-labs/orrery").await;
    let reason = "nothing follows from this change of pull request 57";
    assert_eq!(deliver(&world, "github", LABELED).await, ignored(reason));
    assert_eq!(world.ask("DELETE", "/v1/projects/dropit/remote", Value::Null).await.0, 204);
    let reason =
        "the project dropit has no remote repository to fetch from: set one with `havre remote set URL`";
    assert_eq!(deliver(&world, "github", OPENED).await, ignored(reason));
    assert_eq!(wishes(&world).await, []);
}

/// What the loop does, once somebody asks.
async fn decide(world: &World, verdict: impl FnOnce(&mut Tx<'_>) -> Verdict + Send + 'static) {
    let row = soon(async {
        loop {
            if let Some(row) = wishes(world).await.pop() {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    world
        .write(move |tx| {
            let verdict = verdict(tx);
            tx.judge_preview_wish(&row, &verdict)
        })
        .await;
}

#[tokio::test]
async fn what_follows_is_answered() {
    let world = World::new();
    with(&world, "github", "lumen-labs/orrery").await;
    let started = |tx: &mut Tx<'_>| {
        let reference: RefName = "refs/heads/feature/tides".parse().expect("is a ref");
        let by = Actor::Webhook { provider: "github".to_owned() };
        let pipeline = tx.create_pipeline(NewPipeline {
            project: project(),
            environment: "pr-57".parse().expect("is a name"),
            reference,
            commit: "a".repeat(40).parse().expect("is a commit"),
            subject: String::new(),
            author: String::new(),
            cause: Cause::PullRequest { number: number(57), by },
        });
        Verdict::Started { pipelines: vec![pipeline.expect("a row").id] }
    };
    let (answer, ()) = tokio::join!(deliver(&world, "github", OPENED), decide(&world, started));
    let expected = json!({ "action": "started", "pipelines": ["i1"], "urls": ["/v1/pipelines/i1"] });
    assert_eq!(answer, (202, expected));
    let (_, pipeline) = world.get("/v1/pipelines/i1").await;
    assert_eq!(
        pipeline["cause"],
        json!({ "kind": "pull_request", "number": 57, "by": { "kind": "webhook", "provider": "github" } })
    );

    let world = World::new();
    with(&world, "github", "lumen-labs/orrery").await;
    let no = |_: &mut Tx<'_>| Verdict::Ignored { reason: "no previews here".to_owned() };
    let (answer, ()) = tokio::join!(deliver(&world, "github", OPENED), decide(&world, no));
    assert_eq!(answer, ignored("no previews here"));
}

#[tokio::test]
async fn closed_there_it_is_taken_down_here() {
    let world = world("gitea", "lumen/orrery").await;
    assert_eq!(deliver(&world, "gitea", GITEA).await.0, 202);
    world.write(|tx| tx.put_preview(&open(4))).await;
    assert_eq!(deliver(&world, "gitea", GITEA_CLOSED).await, (202, json!({ "action": "accepted" })));
    assert_eq!(wishes(&world).await, [], "nothing is to be made of it any more");
    let row = world.store.read(|view| view.find_preview(&project(), number(4))).await.expect("a read");
    let state = row.expect("a row").state;
    assert_eq!(state.reason(), Some(&CloseReason::Ended));
    assert_eq!(state.name(), "closing");

    let world = self::world("gitea", "lumen/orrery").await;
    assert_eq!(
        deliver(&world, "gitea", GITEA_CLOSED).await,
        ignored("there is no preview of pull request 4")
    );
}

#[tokio::test]
async fn the_life_of_a_preview_by_hand() {
    let world = World::with(Limits { delivery_wait: Duration::from_millis(100), ..Limits::default() });
    assert_eq!(world.get(PREVIEWS).await, (200, json!({ "previews": [] })));
    let (path, body) = (format!("{PREVIEWS}/7/open"), json!({ "branch": "feature/x" }));
    let (status, answer) = world.ask("POST", &path, body.clone()).await;
    assert_eq!((status, &answer["code"]), (404, &json!("remote_not_found")));
    let remote = json!({ "url": "https://git.example.org/acme/shop.git" });
    assert_eq!(world.ask("PUT", "/v1/projects/dropit/remote", remote).await.0, 200);
    assert_eq!(world.ask("POST", &path, body).await, (202, json!({ "action": "accepted" })));
    let row = wishes(&world).await.pop().expect("a wish");
    assert_eq!((row.wish.base.as_str(), row.wish.head.clone(), row.wish.is_fork), ("main", None, false));
    assert_eq!(row.wish.at, HeadAt::Branch { branch: "feature/x".parse().expect("is a branch") });
    for (path, body, code) in [
        ("/v1/projects/dropit/previews/0/open", json!({ "branch": "x" }), "name_invalid"),
        ("/v1/projects/dropit/previews/7/open", json!({ "branch": "--upload-pack=x" }), "body_invalid"),
        ("/v1/projects/dropit/previews/7/open", json!({}), "body_invalid"),
        ("/v1/projects/dropit/previews/7/open", json!({ "branch": "x", "forks": true }), "body_invalid"),
    ] {
        let (status, answer) = world.ask("POST", path, body).await;
        assert_eq!((status, &answer["code"]), (400, &json!(code)), "{path}");
    }

    let close = format!("{PREVIEWS}/7/close");
    let (status, answer) = world.ask("POST", &close, Value::Null).await;
    assert_eq!((status, &answer["code"]), (404, &json!("preview_not_found")));
    world.write(|tx| tx.put_preview(&open(7))).await;
    let epoch = "1970-01-01T00:00:00.000Z";
    let mut expected = json!({
        "project": "dropit", "number": 7, "environment": "pr-7", "commit": "a".repeat(40), "branch": "feature/tides",
        "base": "main", "is_fork": false, "state": { "state": "open", "since": epoch }, "routes": [],
        "pushed_at": epoch, "expires_at": "1970-01-08T00:00:00.000Z",
    });
    assert_eq!(world.get(PREVIEWS).await, (200, json!({ "previews": [expected.clone()] })));
    let by = json!({ "kind": "asked", "by": { "kind": "local" } });
    expected["state"] = json!({ "state": "closing", "since": "2026-11-24T10:00:00.000Z", "reason": by });
    assert_eq!(world.ask("POST", &close, Value::Null).await, (202, expected));
    let (status, answer) = world.ask("POST", &close, Value::Null).await;
    assert_eq!((status, &answer["code"]), (409, &json!("already_over")));
}

#[tokio::test]
async fn nobody_applies_to_the_environment_of_a_preview() {
    let world = World::new();
    let body = json!({ "services": [site("web", "a.example.org")] });
    let (status, answer) = world.ask("PUT", "/v1/projects/dropit/environments/pr-7", body.clone()).await;
    assert_eq!((status, &answer["code"]), (422, &json!("spec_invalid")));
    assert_eq!(world.ask("PUT", "/v1/projects/dropit/environments/pr-x", body).await.0, 200);
}
