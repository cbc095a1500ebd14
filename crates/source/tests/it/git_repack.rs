//! Packing anew with the real git: what becomes one pack, what goes and what stays, who comes first, and what a crash leaves.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use havre_source::fake::FakeFile;
use havre_source::source::{Exchange, Repacked, Service};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::git_world::{Bare, GitWorld};
use crate::world::{EMPTY_PACK, PATIENCE, World as _, collect, head, protected, push, shop};

async fn repack(world: &GitWorld) -> Repacked {
    world.source().repack(&shop(), CancellationToken::new()).await.expect("is packed")
}

/// Files of objects that are in no pack.
fn loose(bare: &Bare) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(bare.0.join("objects")).expect("is readable");
    let folders = folders.map(|entry| entry.expect("is readable").path());
    let is_fan = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 2);
    let files = folders.filter(is_fan).flat_map(|folder| std::fs::read_dir(folder).expect("is readable"));
    files.map(|entry| entry.expect("is readable").path()).collect()
}

fn packs(bare: &Bare) -> usize {
    let files = std::fs::read_dir(bare.0.join("objects/pack")).expect("is readable");
    files
        .filter(|file| {
            file.as_ref().expect("is readable").path().extension().is_some_and(|end| end == "pack")
        })
        .count()
}

#[tokio::test]
async fn loose_objects_and_refs_become_a_pack_and_a_file() {
    let world = GitWorld::start();
    let mut last = None;
    for number in 0..5 {
        let text = format!("{number}");
        last = Some(world.commit(&shop(), last.as_ref(), &text, &[("a", FakeFile::text(&text))]).await);
    }
    let last = last.expect("was made");
    world.set_ref(&shop(), "refs/heads/main", &last).await;
    world.set_ref(&shop(), "refs/tags/v1", &last).await;
    let before = world.source().list_refs(&shop()).await.expect("is listed");
    assert!(loose(&world.bare()).len() >= 15);
    for _ in 0..2 {
        assert_eq!(repack(&world).await, Repacked::Done);
        assert_eq!((loose(&world.bare()), packs(&world.bare())), (Vec::new(), 1));
    }
    assert!(world.bare().0.join("packed-refs").exists());
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed"), before);
    world.bare().git(&["fsck", "--strict"], b"");
    // Pushes go on as before.
    let other = world.commit(&shop(), Some(&last), "more", &[]).await;
    let change = [("refs/heads/main", last.as_str(), other.as_str())];
    let (result, answer) = push(world.source(), protected(&["main"]), &change).await;
    result.expect("is taken");
    assert!(answer.contains("ok refs/heads/main\n"), "{answer}");
}

#[tokio::test]
async fn what_nothing_leads_to_goes_after_two_weeks() {
    let world = GitWorld::start();
    let commit = world.commit(&shop(), None, "first", &[("a", FakeFile::text("a"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &commit).await;
    let bare = world.bare();
    let old = bare.line(&["hash-object", "-w", "--stdin"], b"nobody has wanted this for long");
    let new = bare.line(&["hash-object", "-w", "--stdin"], b"somebody may want this");
    let three_weeks_ago = SystemTime::now() - Duration::from_secs(21 * 24 * 3600);
    let age = |path: PathBuf| {
        let file = std::fs::File::options().append(true).open(path).expect("is there");
        file.set_modified(three_weeks_ago).expect("is ours");
    };
    for path in loose(&bare) {
        // Those of the commit as well: something leads to them.
        if !path.ends_with(format!("{}/{}", &new[..2], &new[2..])) {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .expect("is ours");
            age(path);
        }
    }
    assert_eq!(repack(&world).await, Repacked::Done);
    let names = format!("{old}\n{new}\n{commit}\n");
    let found = bare.line(&["cat-file", "--batch-check=%(objecttype)"], names.as_bytes());
    assert_eq!(found, format!("{old} missing\nblob\ncommit"));
}

#[tokio::test]
async fn a_push_comes_first() {
    let world = GitWorld::start();
    let commit = world.commit(&shop(), None, "first", &[("a", FakeFile::text("a"))]).await;
    let (sender, input) = mpsc::channel(2);
    let (output, receiver) = mpsc::channel(2);
    let rules = protected(&[]);
    let exchange = Exchange { service: Service::ReceivePack, protocol: None, rules, input, output };
    let request = head(&[("refs/heads/main", "-", commit.as_str())]);
    let repository = shop();
    let pushing = world.source().exchange(&repository, exchange, CancellationToken::new());
    let hand = async {
        // Its pack has not come yet.
        sender.send(Ok(Bytes::from(request))).await.expect("is taken");
        while repack(&world).await == Repacked::Done {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sender.send(Ok(Bytes::from_static(EMPTY_PACK))).await.expect("is taken");
        drop(sender);
    };
    let all = async { tokio::join!(pushing, hand, collect(receiver)) };
    let (result, (), _) = tokio::time::timeout(PATIENCE, all).await.expect("ends in time");
    result.expect("is taken");
    assert_eq!(repack(&world).await, Repacked::Done);
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 1);
}

#[tokio::test]
async fn what_a_killed_one_has_left_is_removed() {
    let leave = |world: &GitWorld| {
        let bare = world.bare().0;
        std::fs::create_dir_all(bare.join("objects/pack")).expect("is made");
        for name in [
            "objects/pack/.tmp-77-pack-ab.pack",
            "objects/pack/tmp_pack_x",
            "objects/pack/tmp_idx_x",
            "packed-refs.lock",
            "packed-refs.new",
        ] {
            std::fs::write(bare.join(name), "half").expect("is written");
        }
    };
    let is_clean = |world: &GitWorld| {
        let bare = world.bare();
        let is_gone = |name: &str| !bare.0.join(name).exists();
        is_gone("objects/pack/.tmp-77-pack-ab.pack")
            && is_gone("packed-refs.new")
            && bare.leftovers().is_empty()
    };
    let world = GitWorld::start();
    let commit = world.commit(&shop(), None, "first", &[("a", FakeFile::text("a"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &commit).await;
    leave(&world);
    assert_eq!(repack(&world).await, Repacked::Done);
    assert!(is_clean(&world));
    leave(&world);
    let world = world.restart();
    assert!(is_clean(&world));
    leave(&world);
    let change = [("refs/heads/other", "-", commit.as_str())];
    let (result, answer) = push(world.source(), protected(&[]), &change).await;
    result.expect("is taken");
    assert!(answer.contains("ok refs/heads/other\n") && is_clean(&world), "{answer}");
}
