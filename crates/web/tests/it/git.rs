//! Git over HTTP: who may, what is passed on, and what a person who pushes is told.

use std::io::Write as _;

use axum::body::Body;
use base64::Engine as _;
use havre_core::event::Actor;
use havre_core::pipeline::push::Verdict;
use havre_core::pipeline::{Cause, Stage, State};
use havre_core::source::{CommitId, RefName};
use havre_core::time::Timestamp;
use havre_store::NewPipeline;
use havre_web::git::gateway::{GitError, Pushed};
use http::Response;
use serde_json::json;

use crate::world::{START, World, send, soon};

const REFS: &str = "/git/dropit.git/info/refs?service=git-receive-pack";

fn main_branch() -> RefName {
    "refs/heads/main".parse().expect("is a ref")
}

fn commit() -> CommitId {
    "a".repeat(40).parse().expect("is a commit")
}

async fn text(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = soon(axum::body::to_bytes(response.into_body(), 1024 * 1024)).await.expect("a body");
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_token_is_a_password_for_git_and_nowhere_else() {
    let world = World::new();
    let (_, made) = world.ask("POST", "/v1/tokens", json!({ "name": "ci" })).await;
    let token = made["token"].as_str().expect("a token");
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let right = basic(&format!("anybody:{token}"));
    let ask = async |path: &str, header: &str| {
        send(&world.public, "GET", path, &[("authorization", header)], Body::empty()).await.status().as_u16()
    };
    assert_eq!(ask(REFS, &right).await, 200);
    assert_eq!(ask(REFS, &format!("Bearer {token}")).await, 200);
    assert_eq!(ask("/v1/projects", &right).await, 401, "the API takes no passwords");
    for wrong in [basic(token), basic(&format!("{token}:")), basic(""), "Basic ????".to_owned()] {
        assert_eq!(ask(REFS, &wrong).await, 401, "{wrong}");
    }
}

#[tokio::test]
async fn refs_are_passed_on_and_refusals_are_plain_text() {
    let world = World::new();
    let response = send(&world.local, "GET", REFS, &[("git-protocol", "version=2")], Body::empty()).await;
    assert_eq!(response.headers()["content-type"], "application/x-git-receive-pack-advertisement");
    assert_eq!(text(response).await, (200, "git-receive-pack of dropit, version 2: true".to_owned()));
    let missing = GitError::Missing("dropit".parse().expect("is a name"));
    *world.git.fail.lock().expect("no holder panics") = Some(missing);
    let answer = text(send(&world.local, "GET", REFS, &[], Body::empty()).await).await;
    assert_eq!(answer, (404, "there is no repository of dropit yet: push to it once\n".to_owned()));
    for (path, status) in [
        ("/git/dropit.git/info/refs", 400),
        ("/git/dropit.git/info/refs?service=git-shell", 400),
        ("/git/..%2Fx.git/info/refs?service=git-upload-pack", 400),
        ("/git/-x.git/info/refs?service=git-upload-pack", 400),
    ] {
        assert_eq!(send(&world.local, "GET", path, &[], Body::empty()).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn packed_requests_are_unpacked() {
    let world = World::new();
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(&[b'x'; 5000]).expect("memory takes it");
    let packed = writer.finish().expect("memory takes it");
    let path = "/git/dropit/git-upload-pack";
    let headers = [("content-encoding", "gzip")];
    let response = send(&world.local, "POST", path, &headers, Body::from(packed)).await;
    assert_eq!(text(response).await, (200, "git-upload-pack of dropit took 5000 bytes\n".to_owned()));
    let response = send(&world.local, "POST", path, &headers, Body::from("plain")).await;
    assert_eq!(response.status(), 400);
}

async fn push(world: &World, commit: Option<CommitId>) -> tokio::task::JoinHandle<(u16, String)> {
    *world.git.moves.lock().expect("no holder panics") = vec![Pushed { reference: main_branch(), commit }];
    let router = world.local.clone();
    let pushing = tokio::spawn(async move {
        text(send(&router, "POST", "/git/dropit.git/git-receive-pack", &[], Body::from("pack")).await).await
    });
    soon(async {
        loop {
            let project = "dropit".parse().expect("is a name");
            let row =
                world.store.read(move |view| view.find_ref(&project, &main_branch())).await.expect("a read");
            if row.is_some() || pushing.is_finished() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    pushing
}

#[tokio::test]
async fn who_pushes_is_told_why_nothing_follows() {
    let world = World::new();
    let pushing = push(&world, Some(commit())).await;
    let verdict = Verdict::Ignored { reason: "no environment follows main".to_owned() };
    let project = "dropit".parse().expect("is a name");
    world.write(move |tx| tx.judge_ref(&project, &main_branch(), &commit(), &verdict)).await;
    let (status, told) = soon(pushing).await.expect("it ends");
    assert_eq!(status, 200);
    let expected =
        "git-receive-pack of dropit took 4 bytes\nmain: nothing follows: no environment follows main\n";
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_pushes_is_told_how_it_ends() {
    let world = World::new();
    let pushing = push(&world, Some(commit())).await;
    let at = Timestamp::from_millis(START);
    world
        .write(move |tx| {
            let project: havre_core::name::ProjectName = "dropit".parse().expect("is a name");
            let pipeline = tx.create_pipeline(NewPipeline {
                project: project.clone(),
                environment: "production".parse().expect("is a name"),
                reference: main_branch(),
                commit: commit(),
                subject: String::new(),
                author: String::new(),
                cause: Cause::Push { by: Actor::Local },
            })?;
            let reason = "havre.toml is wrong".to_owned();
            let failed = State::Failed { at, stage: Stage::Checkout, reason };
            tx.set_pipeline_state(pipeline.id, &State::Queued, failed)?;
            let verdict = Verdict::Started { pipelines: vec![pipeline.id] };
            tx.judge_ref(&project, &main_branch(), &commit(), &verdict)
        })
        .await;
    let (_, told) = soon(pushing).await.expect("it ends");
    let expected = "git-receive-pack of dropit took 4 bytes\ni1: aaaaaaaaaaaa to production\n\
        i1: FAILED (checkout): havre.toml is wrong\n";
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_removed_branch_is_forgotten_and_nothing_is_told() {
    let world = World::new();
    let pushing = push(&world, Some(commit())).await;
    let verdict = Verdict::Ignored { reason: "x".to_owned() };
    let project = "dropit".parse().expect("is a name");
    world.write(move |tx| tx.judge_ref(&project, &main_branch(), &commit(), &verdict)).await;
    soon(pushing).await.expect("it ends");
    let pushing = push(&world, None).await;
    let (_, told) = soon(pushing).await.expect("it ends");
    assert_eq!(told, "git-receive-pack of dropit took 4 bytes\n");
    let project = "dropit".parse().expect("is a name");
    let rows = world.store.read(move |view| view.list_refs(&project)).await.expect("a read");
    assert_eq!(rows, []);
}
