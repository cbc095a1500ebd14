//! Pushes and fetches with what git itself sends: packs, limits, requests that break off. The bytes are those of a client; HTTP is
//! not ours.

use std::io;

use bytes::Bytes;
use havre_core::quantity::ByteSize;
use havre_source::error::SourceError;
use havre_source::fake::FakeFile;
use havre_source::source::{Exchange, Protocol, Service};
use havre_source::tail::Tail;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::git_world::{Bare, GitWorld};
use crate::world::{PATIENCE, World as _, collect, head, protected, reference, send, shop};

/// Bytes nobody can compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// A client's repository with one commit, its id, and what it sends to push that to `main`.
fn client(world: &GitWorld, content: &[u8]) -> (Bare, String, Vec<u8>) {
    let client = world.client();
    let file = FakeFile::Plain(content.to_vec());
    let commit = client.commit(
        None,
        "pushed",
        &[(&b"file"[..], file), (&b"run"[..], FakeFile::Executable(vec![b'#']))],
    );
    let mut request = head(&[("refs/heads/main", "-", commit.as_str())]);
    request.extend(client.pack(&commit));
    (client, commit.to_string(), request)
}

fn whole(request: &[u8]) -> Vec<io::Result<Bytes>> {
    request.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
}

#[tokio::test]
async fn a_push_arrives() {
    let world = GitWorld::start().ensured().await;
    let (_client, commit, request) = client(&world, &noise(100_000));
    let (result, answer) =
        send(world.source(), Service::ReceivePack, protected(&["main"]), whole(&request)).await;
    let exchanged = result.expect("is taken");
    assert_eq!(exchanged.commands[0].new.as_ref().map(|id| id.to_string()), Some(commit.clone()));
    let refs = world.source().list_refs(&shop()).await.expect("is listed");
    assert_eq!(refs[&reference("refs/heads/main")].to_string(), commit);
    world.bare().git(&["fsck", "--strict", "--no-dangling"], b"");
    // The gateway adds its words at the end of this answer.
    let mut tail = Tail::new();
    let mut sent = tail.push(&answer).to_vec();
    sent.extend_from_slice(&tail.message("building api"));
    sent.extend_from_slice(&tail.finish());
    let sent = String::from_utf8_lossy(&sent).into_owned();
    assert!(sent.contains("ok refs/heads/main\n") && sent.ends_with("\x02building api\n0000"), "{sent}");
}

#[tokio::test]
async fn options_of_a_push_are_heard() {
    let world = GitWorld::start().ensured().await;
    let (client, commit, _) = client(&world, b"x");
    let mut request = head(&[("refs/heads/main", "-", &commit)]);
    request.truncate(request.len() - 4);
    request.extend_from_slice(b"0008skip0000");
    request.extend(client.pack(&commit.parse().expect("is an id")));
    let (result, _) = send(world.source(), Service::ReceivePack, protected(&[]), whole(&request)).await;
    assert_eq!(result.expect("is taken").options, ["skip"]);
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 1);
}

#[tokio::test]
async fn a_push_that_breaks_off_leaves_nothing() {
    let world = GitWorld::start().ensured().await;
    let (_client, _, request) = client(&world, &noise(200_000));
    for cut in [10, request.len() / 2, request.len() - 1] {
        let mut pieces = whole(&request[..cut]);
        pieces.push(Err(io::ErrorKind::ConnectionReset.into()));
        let (result, _) = send(world.source(), Service::ReceivePack, protected(&[]), pieces).await;
        assert!(matches!(result, Err(SourceError::Failed { .. })), "{cut}: {result:?}");
        // An end without an error looks the same to git, and it says so to whoever still listens.
        let (_, answer) =
            send(world.source(), Service::ReceivePack, protected(&[]), whole(&request[..cut])).await;
        assert!(!String::from_utf8_lossy(&answer).contains("ok refs/heads/main"), "{cut}");
        assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 0);
        assert_eq!(world.bare().leftovers(), Vec::<std::path::PathBuf>::new(), "{cut}");
    }
    let (result, _) = send(world.source(), Service::ReceivePack, protected(&[]), whole(&request)).await;
    result.expect("is taken when it comes whole");
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 1);
}

#[tokio::test]
async fn a_cancelled_push_leaves_nothing() {
    let world = GitWorld::start().ensured().await;
    let (_client, _, request) = client(&world, &noise(200_000));
    let (sender, input) = mpsc::channel(2);
    let (output, receiver) = mpsc::channel(2);
    let cancel = CancellationToken::new();
    let repository = shop();
    let exchange =
        Exchange { service: Service::ReceivePack, protocol: None, rules: protected(&[]), input, output };
    let work = world.source().exchange(&repository, exchange, cancel.clone());
    let hand = async {
        for piece in whole(&request[..request.len() / 2]) {
            sender.send(piece).await.expect("is taken");
        }
        while world.bare().leftovers().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        cancel.cancel();
    };
    let all = async { tokio::join!(work, hand, collect(receiver)) };
    let (result, (), _) = tokio::time::timeout(PATIENCE, all).await.expect("ends in time");
    assert!(matches!(result, Err(SourceError::Cancelled)), "{result:?}");
    assert_eq!(world.bare().leftovers(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn what_a_killed_push_has_left_does_not_stop_the_next() {
    let world = GitWorld::start().ensured().await;
    let (_client, _, request) = client(&world, b"x");
    let bare = world.bare().0;
    std::fs::create_dir_all(bare.join("objects/tmp_objdir-incoming-x/aa")).expect("is made");
    std::fs::create_dir_all(bare.join("refs/heads")).expect("is made");
    std::fs::write(bare.join("refs/heads/main.lock"), "").expect("is written");
    let (result, answer) = send(world.source(), Service::ReceivePack, protected(&[]), whole(&request)).await;
    result.expect("is taken");
    assert!(String::from_utf8_lossy(&answer).contains("ok refs/heads/main\n"), "{}", answer.escape_ascii());
    assert_eq!(world.bare().leftovers(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_pack_that_is_too_large_is_refused() {
    let world = GitWorld::with(|options| options.max_push = ByteSize::bytes(10_000)).ensured().await;
    let (_client, _, request) = client(&world, &noise(300_000));
    let (result, answer) = send(world.source(), Service::ReceivePack, protected(&[]), whole(&request)).await;
    assert_eq!(result.expect("is answered").refused, None, "git is the one who refuses");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.contains("pack exceeds maximum allowed size") && answer.contains("ng refs/heads/main"),
        "{answer}"
    );
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 0);
    assert_eq!(world.bare().leftovers(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_repository_that_is_full_takes_deletions_only() {
    let world = GitWorld::with(|options| options.quota = ByteSize::bytes(1)).ensured().await;
    let commit = world.commit(&shop(), None, "first", &[("a", FakeFile::Plain(noise(100_000)))]).await;
    world.set_ref(&shop(), "refs/heads/old", &commit).await;
    let (_client, _, request) = client(&world, b"x");
    let (result, answer) = send(world.source(), Service::ReceivePack, protected(&[]), whole(&request)).await;
    let refused = result.expect("is answered").refused.expect("is refused");
    assert!(refused.contains("at most 1B are allowed"), "{refused}");
    assert!(String::from_utf8_lossy(&answer).contains("ng refs/heads/main the repository of shop has"));
    let request = head(&[("refs/heads/old", commit.as_str(), "-")]);
    let (result, _) = send(world.source(), Service::ReceivePack, protected(&[]), whole(&request)).await;
    assert_eq!(result.expect("is taken").refused, None);
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 0);
}

#[tokio::test]
async fn objects_that_lie_are_refused() {
    let world = GitWorld::start().ensured().await;
    let client = world.client();
    let blob = client.line(&["hash-object", "-w", "--stdin"], b"x");
    let digits: Vec<u8> =
        (0..20).map(|at| u8::from_str_radix(&blob[at * 2..at * 2 + 2], 16).expect("is hex")).collect();
    let mut tree = b"100644 ..\0".to_vec();
    tree.extend(digits);
    let tree = client.line(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &tree);
    let object = format!(
        "tree {tree}\nauthor T <t@example.org> 1 +0000\ncommitter T <t@example.org> 1 +0000\n\nwords\n"
    );
    let commit = client.line(&["hash-object", "-t", "commit", "-w", "--stdin"], object.as_bytes());
    let mut request = head(&[("refs/heads/main", "-", &commit)]);
    let objects = format!("{commit}\n{tree}\n{blob}\n");
    request.extend(client.git(&["pack-objects", "--stdout", "--quiet"], objects.as_bytes()));
    let (result, answer) = send(world.source(), Service::ReceivePack, protected(&[]), whole(&request)).await;
    result.expect("is answered");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("hasDotdot") && answer.contains("ng refs/heads/main"), "{answer}");
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 0);
}

#[tokio::test]
async fn a_fetch_gets_what_there_is() {
    let world = GitWorld::start();
    let commit = world.commit(&shop(), None, "first", &[("a", FakeFile::text("a"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &commit).await;
    let fetch = async |request: Vec<u8>| {
        let (sender, input) = mpsc::channel(2);
        let (output, receiver) = mpsc::channel(2);
        sender.send(Ok(Bytes::from(request))).await.expect("has room");
        drop(sender);
        let protocol = Some(Protocol::V2);
        let exchange =
            Exchange { service: Service::UploadPack, protocol, rules: protected(&[]), input, output };
        let repository = shop();
        let work = world.source().exchange(&repository, exchange, CancellationToken::new());
        let (result, answer) = tokio::join!(work, collect(receiver));
        result.expect("is served");
        answer
    };
    let refs = fetch(b"0014command=ls-refs\n0000".to_vec()).await;
    assert!(String::from_utf8_lossy(&refs).contains(&format!("{commit} refs/heads/main\n")));
    let request = format!("0011command=fetch0001000fno-progress0032want {commit}\n0009done\n0000");
    let answer = fetch(request.into_bytes()).await;
    assert!(answer.windows(4).any(|bytes| bytes == b"PACK"), "{}", answer.escape_ascii());
    assert!(answer.ends_with(b"0000"));
}
