//! What happens to a repository while Havre looks away. Whatever it is, no run is called good that does not restore, and after a repair
//! the next one is good.

use std::fs;
use std::sync::Arc;

use havre_backup::restic::FolderRepository;
use havre_backup::{Repository, RepositoryError, Source};
use havre_core::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::folder_world::FolderWorld;
use crate::world::{PASSWORD, World, all, ending, entry, noise, put};

pub(crate) const LARGE: usize = 3_000_000;

/// A repository with one good snapshot of `noise(LARGE, 1)`.
async fn made() -> (FolderWorld, Arc<dyn Repository>) {
    let world = FolderWorld::start();
    let repository = world.repository();
    repository.init().await.expect("is made");
    put(&repository, 1, &noise(LARGE, 1)).await;
    (world, repository)
}

/// After damage to the pack of this name: nothing reads, a run of the same bytes is not good, a repair names what it sets aside, which
/// is nothing where the pack is gone, and then all is well.
pub(crate) async fn is_noticed_and_healed(repository: &Arc<dyn Repository>, damaged: &str, is_there: bool) {
    let never = CancellationToken::new();
    let before = repository.list().await.expect("is listed");
    assert!(repository.verify(&before[0].id, &never).await.is_err(), "the snapshot does not restore");
    assert!(!repository.check().await.expect("is checked").is_empty());
    let dump = repository.dump(&before[0].id, &never).await.expect("is there");
    assert!(all(dump).await.is_err(), "a dump does not end well");

    // All of these bytes are there already, says the index.
    let again = repository.store(&entry(2), Source::whole(noise(LARGE, 1)), &never).await;
    assert!(again.as_ref().is_err_and(RepositoryError::may_be_damage), "{again:?}");
    assert_eq!(repository.list().await.expect("is listed"), before, "nothing of it is left");

    let expected = if is_there { vec![format!("data/{damaged}")] } else { Vec::new() };
    assert_eq!(repository.repair().await.expect("is repaired"), expected);
    assert_eq!(repository.incomplete().await.expect("is known"), [before[0].id.clone()]);
    put(repository, 3, &noise(LARGE, 1)).await;
    assert!(repository.incomplete().await.expect("is known").is_empty());
    for snapshot in repository.list().await.expect("is listed") {
        let content = snapshot.content.clone();
        assert_eq!(
            repository.verify(&snapshot.id, &never).await,
            Ok(content),
            "the same bytes healed the first one too"
        );
    }
    assert!(repository.check().await.expect("is checked").is_empty());
}

fn name(pack: &std::path::Path) -> &str {
    pack.file_name().and_then(|name| name.to_str()).expect("is a name")
}

#[tokio::test]
async fn a_bit_that_flipped() {
    let (world, repository) = made().await;
    let pack = world.largest_pack();
    let mut bytes = fs::read(&pack).expect("is read");
    bytes[1000] ^= 4;
    fs::write(&pack, bytes).expect("is written");
    is_noticed_and_healed(&repository, name(&pack), true).await;
}

#[tokio::test]
async fn a_pack_that_was_cut() {
    let (world, repository) = made().await;
    let pack = world.largest_pack();
    let bytes = fs::read(&pack).expect("is read");
    fs::write(&pack, &bytes[..bytes.len() / 2]).expect("is written");
    is_noticed_and_healed(&repository, name(&pack), true).await;
}

#[tokio::test]
async fn a_pack_that_is_gone() {
    let (world, repository) = made().await;
    let pack = world.largest_pack();
    fs::remove_file(&pack).expect("is removed");
    is_noticed_and_healed(&repository, name(&pack), false).await;
    assert!(world.root().join("config").exists());
}

#[tokio::test]
async fn a_disk_that_is_not_mounted() {
    let (world, repository) = made().await;
    let never = CancellationToken::new();
    let away = world.root().with_extension("away");
    fs::rename(world.root(), &away).expect("is moved");
    for is_mount_point in [false, true] {
        if is_mount_point {
            fs::create_dir(world.root()).expect("is made");
        }
        let missing = repository.store(&entry(2), Source::whole(noise(LARGE, 2)), &never).await;
        assert!(matches!(missing, Err(RepositoryError::Missing { .. })), "{missing:?}");
        assert!(matches!(repository.list().await, Err(RepositoryError::Missing { .. })));
    }
    assert_eq!(fs::read_dir(world.root()).expect("is read").count(), 0, "nothing was made in its place");
    fs::remove_dir(world.root()).expect("is removed");
    fs::rename(&away, world.root()).expect("is moved back");
    put(&repository, 3, &noise(LARGE, 2)).await;
    assert_eq!(repository.list().await.expect("is listed").len(), 2);
}

#[tokio::test]
async fn a_repository_that_vanishes_while_a_run_writes() {
    let (world, repository) = made().await;
    let never = CancellationToken::new();
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let (source, verdict) = Source::new(far);
    let away = world.root().with_extension("away");
    let bytes = noise(LARGE, 2);
    let writes = async {
        tokio::io::AsyncWriteExt::write_all(&mut near, &bytes[..LARGE / 2]).await.expect("is read");
        fs::rename(world.root(), &away).expect("is moved");
        // The producer may find nobody who reads any more.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &bytes[LARGE / 2..]).await;
        drop(near);
        verdict.succeeded();
    };
    let name = entry(2);
    let (lost, ()) = tokio::join!(repository.store(&name, source, &never), writes);
    assert!(lost.is_err(), "{lost:?}");
    fs::rename(&away, world.root()).expect("is moved back");
    assert_eq!(repository.list().await.expect("is listed").len(), 1, "nothing of it is left");
    put(&repository, 3, &bytes).await;
    assert_eq!(repository.list().await.expect("is listed").len(), 2);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_more() {
    let (world, repository) = made().await;
    let never = CancellationToken::new();
    // Every file is written in here first; without it no write succeeds, as on a full disk, and everything else does.
    fs::remove_dir(world.root().join("tmp")).expect("is empty");
    let full = repository.store(&entry(2), Source::whole(noise(LARGE, 2)), &never).await;
    assert!(matches!(full, Err(RepositoryError::Failed { .. })), "{full:?}");
    assert_eq!(repository.list().await.expect("is listed").len(), 1, "nothing of it is left");
    fs::create_dir(world.root().join("tmp")).expect("is made");
    put(&repository, 3, &noise(LARGE, 2)).await;
    assert_eq!(repository.list().await.expect("is listed").len(), 2);
    assert!(repository.check().await.expect("is checked").is_empty());
}

#[tokio::test]
async fn a_config_that_is_lost_is_not_made_anew() {
    let (world, repository) = made().await;
    fs::remove_file(world.root().join("config")).expect("is removed");
    let refused = repository.init().await;
    assert!(matches!(refused, Err(RepositoryError::Occupied { .. })), "{refused:?}");
    assert_eq!(
        fs::read_dir(world.root().join("keys")).expect("is read").count(),
        1,
        "the key is still there"
    );
}

#[tokio::test]
async fn two_runs_at_once_do_not_disturb_each_other() {
    let (world, repository) = made().await;
    let never = CancellationToken::new();
    let (slow, verdict) = ending(&noise(LARGE, 2));
    let (first, second) = (entry(2), entry(3));
    let finish = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        verdict.succeeded();
    };
    let (one, other, ()) = tokio::join!(
        repository.store(&first, slow, &never),
        repository.store(&second, Source::whole(noise(LARGE, 3)), &never),
        finish
    );
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    // Somebody who knows only the password and the place finds all of it.
    let fresh = FolderRepository::new(world.root(), Secret::from(PASSWORD));
    assert_eq!(fresh.list().await.expect("is listed").len(), 3);
}
