//! What happens to a repository on another machine while Havre looks away, as `sabotage.rs` for a folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use havre_backup::restic::FolderRepository;
use havre_backup::{Repository, RepositoryError, Source};
use havre_core::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::folder_world::largest_pack;
use crate::sabotage::{LARGE, is_noticed_and_healed};
use crate::sftp_world::SftpWorld;
use crate::world::{PASSWORD, World, entry, noise, put};

/// A repository with one good snapshot of `noise(LARGE, 1)`.
async fn made() -> (SftpWorld, Arc<dyn Repository>) {
    let world = SftpWorld::start().await;
    let repository = world.repository();
    repository.init().await.expect("is made");
    put(&repository, 1, &noise(LARGE, 1)).await;
    (world, repository)
}

fn name(pack: &Path) -> &str {
    pack.file_name().and_then(|name| name.to_str()).expect("is a name")
}

#[tokio::test]
async fn a_bit_that_flipped() {
    let (world, repository) = made().await;
    let pack = largest_pack(&world.root());
    let mut bytes = fs::read(&pack).expect("is read");
    bytes[1000] ^= 4;
    fs::write(&pack, bytes).expect("is written");
    is_noticed_and_healed(&repository, name(&pack), true).await;
    let aside = world.root().join("damaged").join(format!("data-{}", name(&pack)));
    assert!(aside.exists(), "nothing is deleted");
}

#[tokio::test]
async fn a_pack_that_was_cut() {
    let (world, repository) = made().await;
    let pack = largest_pack(&world.root());
    let bytes = fs::read(&pack).expect("is read");
    fs::write(&pack, &bytes[..bytes.len() / 2]).expect("is written");
    is_noticed_and_healed(&repository, name(&pack), true).await;
}

#[tokio::test]
async fn a_pack_that_is_gone() {
    let (world, repository) = made().await;
    let pack = largest_pack(&world.root());
    fs::remove_file(&pack).expect("is removed");
    is_noticed_and_healed(&repository, name(&pack), false).await;
}

#[tokio::test]
async fn a_disk_that_is_not_mounted_there() {
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
async fn folders_that_are_gone_are_no_empty_lists() {
    let (world, repository) = made().await;
    for folder in ["index", "snapshots", "data"] {
        let (there, away) = (world.root().join(folder), world.root().join("away"));
        fs::rename(&there, &away).expect("is moved");
        let pruned = repository.prune(std::time::Duration::ZERO).await;
        assert!(pruned.is_err(), "{folder}: {pruned:?}");
        fs::rename(&away, &there).expect("is moved back");
    }
    let listed = repository.list().await.expect("is listed");
    let never = CancellationToken::new();
    assert_eq!(repository.verify(&listed[0].id, &never).await, Ok(listed[0].content.clone()));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_more() {
    let (world, repository) = made().await;
    let never = CancellationToken::new();
    // Every file is written in here first; without it no write succeeds, as on a full disk, and everything else does.
    fs::remove_dir(world.root().join("tmp")).expect("is empty, so nothing half-written is left");
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
async fn packs_behind_a_link_are_packs() {
    let (world, repository) = made().await;
    let pack = largest_pack(&world.root());
    let folder = pack.parent().expect("lies in one").to_owned();
    let elsewhere = world.server.srv().join("elsewhere");
    fs::rename(&folder, &elsewhere).expect("is moved");
    symlink(&elsewhere, &folder).expect("is made");
    assert!(repository.check().await.expect("is checked").is_empty());
    let listed = repository.list().await.expect("is listed");
    let never = CancellationToken::new();
    assert_eq!(repository.verify(&listed[0].id, &never).await, Ok(listed[0].content.clone()));
}

/// The layout is that of a folder: both kinds read what the other has written.
#[tokio::test]
async fn whoever_has_the_folder_has_the_repository() {
    let (world, repository) = made().await;
    let folder: Arc<dyn Repository> = Arc::new(FolderRepository::new(&world.root(), Secret::from(PASSWORD)));
    let listed = repository.list().await.expect("is listed");
    assert_eq!(folder.list().await, Ok(listed));
    let second = put(&folder, 2, &noise(LARGE, 2)).await.snapshot;
    let never = CancellationToken::new();
    assert_eq!(world.afresh().verify(&second.id, &never).await, Ok(second.content));
    assert!(repository.check().await.expect("is checked").is_empty());
}
