//! The repository of a project: shown, its branches protected, and that a push is told of them.

use axum::body::Body;
use havre_core::source::BranchName;
use havre_web::git::gateway::GitError;
use serde_json::{Value, json};

use crate::world::{World, send, soon};

const PATH: &str = "/v1/projects/dropit/repository";

async fn protect(world: &World, branch: &str, on: bool) -> (u16, Value) {
    world.ask("PUT", &format!("{PATH}/protection"), json!({ "branch": branch, "on": on })).await
}

async fn push(world: &World) {
    let path = "/git/dropit.git/git-receive-pack";
    let response = send(&world.local, "POST", path, &[], Body::from("pack")).await;
    soon(axum::body::to_bytes(response.into_body(), 1024 * 1024)).await.expect("a body");
}

#[tokio::test]
async fn a_push_is_told_which_branches_are_protected() {
    let world = World::new();
    let answer = |was_on: bool, on: bool| json!({ "branch": "main", "was_on": was_on, "on": on });
    push(&world).await;
    assert_eq!(protect(&world, "main", true).await, (200, answer(false, true)));
    assert_eq!(protect(&world, "main", true).await, (200, answer(true, true)));
    push(&world).await;
    assert_eq!(protect(&world, "main", false).await, (200, answer(true, false)));
    push(&world).await;
    let main: BranchName = "main".parse().expect("is a branch");
    let told = world.git.protected.lock().expect("no holder panics").clone();
    assert_eq!(told, [Vec::new(), vec![main], Vec::new()]);
    for wrong in ["", "--force", "refs/heads/../x", "a b"] {
        assert_eq!(protect(&world, wrong, true).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_repository_is_shown_before_and_after_the_first_push() {
    let world = World::new();
    let missing = GitError::Missing("dropit".parse().expect("is a name"));
    *world.git.fail.lock().expect("no holder panics") = Some(missing);
    protect(&world, "main", true).await;
    let shown = |bytes: Value, refs: Value, pushed_at: Value| {
        json!({
            "project": "dropit", "bytes": bytes, "refs": refs, "pushed_at": pushed_at, "repacked_at": null,
            "protected": ["main"],
        })
    };
    assert_eq!(world.get(PATH).await, (200, shown(Value::Null, Value::Null, Value::Null)));
    let commit = "a".repeat(40).parse().expect("is a commit");
    world
        .write(move |tx| {
            let reference = "refs/heads/main".parse().expect("is a ref");
            tx.note_push(&"dropit".parse().expect("is a name"), &reference, Some(&commit))
        })
        .await;
    let at = json!("2026-11-24T10:00:00.000Z");
    assert_eq!(world.get(PATH).await, (200, shown(json!(4096), json!(2), at)));
    *world.git.fail.lock().expect("no holder panics") = Some(GitError::Failed("planted".to_owned()));
    let (status, body) = world.get(PATH).await;
    assert_eq!((status, &body["code"]), (500, &json!("internal")));
}
