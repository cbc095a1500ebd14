//! What happens to a repository in a bucket while Havre looks away, as `sabotage.rs` for a folder.

use std::sync::Arc;

use havre_backup::{Repository, RepositoryError, Source};
use tokio_util::sync::CancellationToken;

use crate::bucket_world::BucketWorld;
use crate::memory_storage::Fail;
use crate::sabotage::{LARGE, is_noticed_and_healed};
use crate::world::{World, entry, noise, put};

/// A repository with one good snapshot of `noise(LARGE, 1)`.
async fn made() -> (BucketWorld, Arc<dyn Repository>) {
    let world = BucketWorld::in_memory();
    let repository = world.repository();
    repository.init().await.expect("is made");
    put(&repository, 1, &noise(LARGE, 1)).await;
    (world, repository)
}

fn name(key: &str) -> &str {
    key.rsplit('/').next().expect("has a name")
}

#[tokio::test]
async fn a_bit_that_flipped() {
    let (world, repository) = made().await;
    let pack = world.storage().largest_pack();
    world.storage().change(&pack, |bytes| bytes[1000] ^= 4);
    is_noticed_and_healed(&repository, name(&pack), true).await;
    let aside = format!("servers/one/damaged/data-{}", name(&pack));
    assert!(world.storage().has(&aside), "nothing is deleted");
}

#[tokio::test]
async fn a_pack_that_was_cut() {
    let (world, repository) = made().await;
    let pack = world.storage().largest_pack();
    world.storage().change(&pack, |bytes| bytes.truncate(bytes.len() / 2));
    is_noticed_and_healed(&repository, name(&pack), true).await;
}

#[tokio::test]
async fn a_pack_that_is_gone() {
    let (world, repository) = made().await;
    let pack = world.storage().largest_pack();
    world.storage().remove(&pack);
    is_noticed_and_healed(&repository, name(&pack), false).await;
}

#[tokio::test]
async fn a_bucket_that_vanishes_while_a_run_writes() {
    let (world, repository) = made().await;
    let never = CancellationToken::new();
    // The first pack is stored, and then there is no bucket any more.
    let mut is_gone = false;
    world.storage().fail(move |asked| {
        let result = is_gone.then(|| Fail::Say(404, "NoSuchBucket", Vec::new()));
        is_gone |= asked.method == "PUT";
        result
    });
    let lost = repository.store(&entry(2), Source::whole(noise(LARGE, 2)), &never).await;
    assert!(matches!(lost, Err(RepositoryError::BucketMissing { .. })), "{lost:?}");
    assert!(matches!(repository.list().await, Err(RepositoryError::BucketMissing { .. })));
    world.storage().behave();
    assert_eq!(repository.list().await.expect("is listed").len(), 1, "nothing of it is left");
    put(&repository, 3, &noise(LARGE, 2)).await;
    assert_eq!(repository.list().await.expect("is listed").len(), 2);
    assert!(repository.check().await.expect("is checked").is_empty());
}

#[tokio::test]
async fn a_storage_that_takes_nothing_more() {
    let (world, repository) = made().await;
    let never = CancellationToken::new();
    world
        .storage()
        .fail(|asked| (asked.method == "PUT").then(|| Fail::Say(507, "InsufficientStorage", Vec::new())));
    let full = repository.store(&entry(2), Source::whole(noise(LARGE, 2)), &never).await;
    let Err(RepositoryError::Failed { reason, .. }) = &full else { panic!("is full: {full:?}") };
    assert!(reason.contains("507 InsufficientStorage"), "{reason}");
    world.storage().behave();
    assert_eq!(repository.list().await.expect("is listed").len(), 1, "nothing of it is left");
    put(&repository, 3, &noise(LARGE, 2)).await;
    assert_eq!(repository.list().await.expect("is listed").len(), 2);
}

#[tokio::test]
async fn a_bucket_that_was_emptied() {
    let (world, repository) = made().await;
    world.storage().empty();
    let never = CancellationToken::new();
    assert!(matches!(repository.list().await, Err(RepositoryError::Missing { .. })));
    let stored = repository.store(&entry(2), Source::whole(vec![1]), &never).await;
    assert!(matches!(stored, Err(RepositoryError::Missing { .. })), "{stored:?}");
    assert!(world.storage().keys().is_empty(), "nothing was made in its place");
}

#[tokio::test]
async fn a_config_that_is_lost_is_not_made_anew() {
    let (world, repository) = made().await;
    world.storage().remove("servers/one/config");
    let refused = repository.init().await;
    assert!(matches!(refused, Err(RepositoryError::Occupied { .. })), "{refused:?}");
    let keys = world.storage().keys();
    assert_eq!(keys.iter().filter(|key| key.contains("/keys/")).count(), 1, "the key is still there");
}

#[tokio::test]
async fn whoever_knows_the_password_and_the_place_finds_all_of_it() {
    let (world, repository) = made().await;
    let listed = repository.list().await.expect("is listed");
    assert_eq!(world.afresh().list().await, Ok(listed));
    assert!(world.storage().keys().iter().all(|key| key.starts_with("servers/one/")));
}
