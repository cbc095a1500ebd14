//! Contents of Git LFS that are on this server already: those that were pushed here, and those that an earlier pipeline has fetched.

use std::path::PathBuf;

use bytes::Bytes;
use havre_core::pipeline::State;
use havre_decide::source::lfs::Pointer;
use havre_source::git::lfs::Room;
use tokio::sync::mpsc;

use crate::lfs::{CONTENT, context, control, found, last, push, refused};
use crate::lfs_server::{FakeLfs, pointer_of};
use crate::pipeline::project;
use crate::world::{Control, Outside};

/// As by `git push` to Havre.
async fn push_content(control: &Control, content: &'static [u8]) {
    let pointer = pointer_of(content);
    let (sender, mut input) = mpsc::channel(1);
    sender.send(Ok(Bytes::from_static(content))).await.unwrap();
    drop(sender);
    let room = Room { contents: 100, project: 1000, floor: 0 };
    let what = (pointer.oid(), pointer.size());
    control.world.settings.lfs.take(&project(), what, room, &mut input).await.unwrap();
}

/// Where a content lies.
fn place(outside: &Outside, shelf: &str, pointer: &Pointer) -> PathBuf {
    let hex = pointer.oid().hex();
    outside.path("lfs").join(shelf).join(project().as_str()).join(&hex[..2]).join(hex)
}

fn asked(lfs: &FakeLfs) -> usize {
    lfs.take().len()
}

#[tokio::test]
async fn what_was_pushed_to_havre_is_built_with_its_contents() {
    let outside = Outside::new();
    let control = outside.control();
    let pointer = pointer_of(CONTENT);
    push(&outside, &pointer.to_string(), &[]);
    let reason = refused(&control).await;
    assert!(reason.starts_with("model.bin is a pointer of Git LFS, and its content of 13 bytes"), "{reason}");
    assert!(reason.contains("git lfs push --all") && reason.contains("havre ci rerun i1"), "{reason}");

    push_content(&control, CONTENT).await;
    push(&outside, &pointer.to_string(), &[]);
    assert_eq!(found(&context(&control, "b1").await, "model.bin").1, CONTENT);
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));

    std::fs::write(place(&outside, "pushed", &pointer), b"a small model").unwrap();
    push(&outside, &pointer.to_string(), &[]);
    assert!(refused(&control).await.contains("was not pushed to this server"), "a damaged one is none");
    assert!(!place(&outside, "pushed", &pointer).exists(), "so that it is pushed again");
}

#[tokio::test]
async fn what_was_fetched_is_not_fetched_again_unless_it_is_damaged() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let pointer = lfs.keep(CONTENT);
    push(&outside, &pointer.to_string(), &[]);
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    assert_eq!(asked(&lfs), 2);
    push(&outside, &pointer.to_string(), &[]);
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    assert_eq!(asked(&lfs), 0, "it is here");

    // Another process, after kill -9.
    drop(control);
    let control = outside.control_with_private_remotes();
    std::fs::write(place(&outside, "fetched", &pointer), b"a small model").unwrap();
    push(&outside, &pointer.to_string(), &[]);
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    assert_eq!(asked(&lfs), 2, "it is fetched anew");
    assert_eq!(std::fs::read(place(&outside, "fetched", &pointer)).unwrap(), CONTENT);
}
