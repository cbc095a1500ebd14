//! What every repository promises. Each function runs on the fake and on the real one, in a world of its own.

use std::time::Duration;

use havre_backup::{RepositoryError, Source};
use tokio_util::sync::CancellationToken;

use crate::world::{World, all, breaking, ending, entry, noise, put};

const LARGE: usize = 3_000_000;

pub(crate) async fn it_is_made_once<W: World>(world: W) {
    let repository = world.repository();
    let id = repository.init().await.expect("is made");
    assert_eq!(repository.open().await, Ok(id));
    let again = repository.init().await;
    assert!(matches!(again, Err(RepositoryError::Occupied { .. })), "{again:?}");
}

pub(crate) async fn nothing_makes_it_by_itself<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    let missing =
        |error: RepositoryError| assert!(matches!(error, RepositoryError::Missing { .. }), "{error:?}");
    missing(repository.open().await.expect_err("there is none"));
    missing(repository.list().await.expect_err("there is none"));
    missing(repository.forget(&[]).await.expect_err("there is none"));
    missing(repository.prune(Duration::ZERO).await.expect_err("there is none"));
    let stored = repository.store(&entry(0), Source::whole(vec![1]), &never).await;
    missing(stored.expect_err("there is none"));
    missing(repository.open().await.expect_err("there is still none"));
}

pub(crate) async fn the_password_is_asked<W: World>(world: W) {
    world.repository().init().await.expect("is made");
    let (wrong, never) = (world.with_wrong_password(), CancellationToken::new());
    let refused = wrong.open().await;
    assert!(matches!(refused, Err(RepositoryError::WrongPassword { .. })), "{refused:?}");
    let refused = wrong.store(&entry(0), Source::whole(vec![1]), &never).await;
    assert!(matches!(refused, Err(RepositoryError::WrongPassword { .. })), "{refused:?}");
    assert!(world.repository().list().await.expect("is listed").is_empty());
}

pub(crate) async fn what_goes_in_comes_out<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    // One byte, one that is a few blobs long, and one that compresses to nothing.
    let streams = [vec![7], noise(LARGE, 1), vec![0; LARGE]];
    for (second, bytes) in (0_i64..).zip(&streams) {
        let stored = put(&repository, second, bytes).await.snapshot;
        assert_eq!((stored.name, stored.tags, stored.at), (entry(0).name, entry(0).tags, entry(second).at));
        assert_eq!(stored.content.bytes, bytes.len() as u64);
        assert_eq!(repository.verify(&stored.id, &never).await, Ok(stored.content.clone()));
        let mut dump = repository.dump(&stored.id, &never).await.expect("is there");
        let mut found = Vec::new();
        while let Some(part) = dump.next().await.expect("comes out") {
            assert_eq!(dump.content(), None, "it is not all yet");
            found.extend_from_slice(&part);
        }
        assert_eq!(dump.content(), Some(&stored.content));
        assert!(found == *bytes, "stream {second} comes out as it went in");
    }
    let listed = repository.list().await.expect("is listed");
    let seconds: Vec<_> = listed.iter().map(|one| one.at).collect();
    assert_eq!(seconds, [entry(2).at, entry(1).at, entry(0).at]);
    assert!(repository.check().await.expect("is checked").is_empty());
}

pub(crate) async fn a_source_that_breaks_leaves_nothing<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    let bytes = noise(LARGE, 1);
    for percent in [0, 1, 50, 99, 100] {
        let broken = repository.store(&entry(0), breaking(&bytes[..LARGE / 100 * percent]), &never).await;
        let expected = RepositoryError::Source { reason: "connection reset".to_owned() };
        assert_eq!(broken.expect_err("has no end"), expected, "at {percent} %");
        assert!(repository.list().await.expect("is listed").is_empty(), "at {percent} %");
    }
    let stored = put(&repository, 1, &bytes).await.snapshot;
    let dump = repository.dump(&stored.id, &never).await.expect("is there");
    assert!(all(dump).await.expect("comes out") == bytes, "the next run is good");
    assert_eq!(repository.list().await.expect("is listed"), [stored]);
}

pub(crate) async fn a_producer_that_fails_leaves_nothing<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    // Its output ends like one that is done; only the status says otherwise.
    let (source, verdict) = ending(&noise(LARGE / 2, 1));
    verdict.failed("exit status 1: disk full");
    let failed = repository.store(&entry(0), source, &never).await;
    let expected = RepositoryError::Source { reason: "exit status 1: disk full".to_owned() };
    assert_eq!(failed.expect_err("has failed"), expected);
    let (source, verdict) = ending(&noise(LARGE / 2, 1));
    drop(verdict);
    let silent = repository.store(&entry(0), source, &never).await;
    assert!(matches!(silent, Err(RepositoryError::Source { .. })), "{silent:?}");
    assert!(repository.list().await.expect("is listed").is_empty());
}

pub(crate) async fn no_bytes_are_no_backup<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    let empty = repository.store(&entry(0), Source::whole(Vec::new()), &never).await;
    assert_eq!(empty.expect_err("is nothing"), RepositoryError::Empty);
    assert!(repository.list().await.expect("is listed").is_empty());
}

pub(crate) async fn cancelling_leaves_nothing<W: World>(world: W) {
    let (repository, cancel) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    // A producer that writes a little, then nothing, and never ends.
    let (mut near, far) = tokio::io::duplex(1 << 16);
    tokio::io::AsyncWriteExt::write_all(&mut near, b"some bytes").await.expect("has room");
    let (source, _verdict) = Source::new(far);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
    };
    let name = entry(0);
    let (stopped, ()) = tokio::join!(repository.store(&name, source, &cancel), stop);
    assert_eq!(stopped.expect_err("was stopped"), RepositoryError::Cancelled);
    drop(near);
    put(&repository, 1, b"the next run").await;
    assert_eq!(repository.list().await.expect("is listed").len(), 1);
    let id = repository.list().await.expect("is listed")[0].id.clone();
    assert_eq!(repository.verify(&id, &cancel).await, Err(RepositoryError::Cancelled));
}

pub(crate) async fn a_dropped_run_leaves_nothing<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    let (near, far) = tokio::io::duplex(1 << 16);
    let (source, _verdict) = Source::new(far);
    let name = entry(0);
    let dropped =
        tokio::time::timeout(Duration::from_millis(200), repository.store(&name, source, &never)).await;
    assert!(dropped.is_err(), "{dropped:?}");
    put(&repository, 1, b"the next run").await;
    assert_eq!(repository.list().await.expect("is listed").len(), 1);
    drop(near);
}

pub(crate) async fn the_same_again_is_not_stored_twice<W: World>(world: W) {
    let repository = world.repository();
    repository.init().await.expect("is made");
    let bytes = noise(LARGE, 1);
    let first = put(&repository, 1, &bytes).await;
    assert!(first.added_bytes as usize > LARGE / 2, "{}", first.added_bytes);
    let second = put(&repository, 2, &bytes).await;
    assert!((second.added_bytes as usize) < LARGE / 10, "{}", second.added_bytes);
    assert_ne!(first.snapshot.id, second.snapshot.id);
}

pub(crate) async fn snapshots_are_forgotten<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    let first = put(&repository, 1, b"first").await.snapshot;
    let second = put(&repository, 2, b"second").await.snapshot;
    for _ in 0..2 {
        repository.forget(std::slice::from_ref(&first.id)).await.expect("is gone");
        assert_eq!(repository.list().await.expect("is listed"), std::slice::from_ref(&second));
    }
    let missing = RepositoryError::SnapshotMissing { id: first.id.clone() };
    assert_eq!(repository.verify(&first.id, &never).await, Err(missing.clone()));
    assert_eq!(repository.dump(&first.id, &never).await.expect_err("is gone"), missing);
    assert_eq!(repository.verify(&second.id, &never).await, Ok(second.content));
}

pub(crate) async fn what_nobody_needs_goes_in_two_steps<W: World>(world: W) {
    let (repository, never) = (world.repository(), CancellationToken::new());
    repository.init().await.expect("is made");
    let gone = put(&repository, 1, &noise(LARGE, 1)).await.snapshot;
    let kept = put(&repository, 2, &noise(LARGE, 2)).await.snapshot;
    repository.forget(&[gone.id]).await.expect("is forgotten");
    let first = repository.prune(Duration::ZERO).await.expect("is pruned");
    assert!(first.marked_bytes as usize > LARGE / 2 && first.removed_bytes == 0, "{first:?}");
    let day = repository.prune(Duration::from_secs(86_400)).await.expect("is pruned");
    assert_eq!(day.removed_bytes, 0, "whoever reads at this moment keeps what he needs");
    let second = repository.prune(Duration::ZERO).await.expect("is pruned");
    assert!(second.removed_bytes as usize > LARGE / 2, "{second:?}");
    assert_eq!(repository.verify(&kept.id, &never).await, Ok(kept.content));
    assert!(repository.check().await.expect("is checked").is_empty());
}
