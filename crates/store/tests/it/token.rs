//! Access tokens.

use havre_store::StoreError;

use crate::world::{World, at};

#[tokio::test]
async fn tokens_are_found_by_hash_until_revoked() {
    let world = World::new();
    let (hash, other) = ([7; 32], [8; 32]);
    let made = world.write(1, move |tx| tx.create_token("ci".parse().unwrap(), hash)).await;
    assert_eq!(
        (made.name.as_str(), made.hash, made.created_at, made.last_used_at),
        ("ci", hash, at(1), None)
    );
    assert!(!format!("{made:?}").contains('7'), "hashes are not printed");
    let twice = world.try_write(2, move |tx| tx.create_token("ci".parse().unwrap(), other)).await;
    assert_eq!(twice.unwrap_err().to_string(), "there is a token named ci already");
    let find = async |hash| world.store.read(move |view| view.find_token(hash)).await.unwrap();
    assert_eq!((find(hash).await, find(other).await), (Some(made.clone()), None));
    assert_eq!(world.store.read(|view| view.list_tokens()).await.unwrap(), [made]);

    let name = "ci".parse().unwrap();
    world.write(3, move |tx| tx.revoke_token(&name)).await;
    assert_eq!(find(hash).await, None);
    let name = "ci".parse().unwrap();
    let again = world.try_write(3, move |tx| tx.revoke_token(&name)).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert_eq!(world.story().await, ["access token ci created", "access token ci revoked"]);
}

#[tokio::test]
async fn use_is_recorded_at_most_once_a_minute() {
    let world = World::new();
    let id = world.write(0, |tx| tx.create_token("ci".parse().unwrap(), [7; 32])).await.id;
    let touch = async |seconds| {
        world.write(seconds, move |tx| tx.touch_token(id)).await;
        let token = world.store.read(|view| view.find_token([7; 32])).await.unwrap().unwrap();
        (token.last_used_at, world.changes())
    };
    assert_eq!(touch(10).await, (Some(at(10)), 2));
    assert_eq!(touch(69).await, (Some(at(10)), 2));
    assert_eq!(touch(70).await, (Some(at(70)), 3));
}
