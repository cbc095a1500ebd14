//! Protected branches, and when repositories were pushed to.

use havre_core::name::ProjectName;
use havre_core::source::{BranchName, CommitId, RefName};
use havre_store::RepositoryRow;

use crate::world::{World, at};

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn main() -> BranchName {
    "main".parse().unwrap()
}

#[tokio::test]
async fn branches_are_protected_until_they_are_not() {
    let world = World::new();
    let set = async |is_protected: bool| {
        world.write(1, move |tx| tx.set_protected(&project(), &main(), is_protected)).await
    };
    let list = async || world.store.read(|view| view.list_protected_branches(&project())).await.unwrap();
    assert!(!set(false).await);
    assert_eq!(list().await, Vec::<BranchName>::new());
    assert!(!set(true).await);
    assert!(set(true).await, "twice is once");
    world.write(1, |tx| tx.set_protected(&project(), &"a/b".parse().unwrap(), true)).await;
    world.write(1, |tx| tx.set_protected(&"other".parse().unwrap(), &main(), true)).await;
    assert_eq!(list().await, ["a/b".parse().unwrap(), main()]);
    assert!(set(false).await);
    assert_eq!(list().await, ["a/b".parse::<BranchName>().unwrap()]);
    assert_eq!(
        world.story().await,
        [
            "branch main of dropit protected",
            "branch a/b of dropit protected",
            "branch main of other protected",
            "branch main of dropit no longer protected",
        ]
    );
}

#[tokio::test]
async fn pushes_are_remembered_and_so_is_what_was_done_about_them() {
    let world = World::new();
    let find = async || world.store.read(|view| view.find_repository(&project())).await.unwrap();
    world.write(1, |tx| tx.repository_repacked(&project(), at(1))).await;
    assert_eq!(find().await, None);
    let reference: RefName = "refs/heads/main".parse().unwrap();
    let commit: CommitId = "a".repeat(40).parse().unwrap();
    let push = async |seconds, commit: Option<CommitId>| {
        let reference = reference.clone();
        world.write(seconds, move |tx| tx.note_push(&project(), &reference, commit.as_ref())).await;
    };
    push(2, Some(commit.clone())).await;
    // Nothing has moved.
    push(3, Some(commit)).await;
    let row = |pushed, repacked: Option<i64>| RepositoryRow {
        project: project(),
        pushed_at: at(pushed),
        repacked_at: repacked.map(at),
    };
    assert_eq!(find().await, Some(row(2, None)));
    world.write(5, |tx| tx.repository_repacked(&project(), at(4))).await;
    assert_eq!(find().await, Some(row(2, Some(4))));
    // A branch that is removed leaves objects behind as well.
    push(6, None).await;
    assert_eq!(find().await, Some(row(6, Some(4))));
    assert_eq!(world.store.read(|view| view.list_repositories()).await.unwrap(), [row(6, Some(4))]);
}
