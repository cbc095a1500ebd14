//! Keys for SSH.

use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_store::{NewSshKey, StoreError};

use crate::world::{World, at};

const FIRST: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";

fn fingerprint(digit: &str) -> Fingerprint {
    format!("SHA256:{}", digit.repeat(43)).parse().unwrap()
}

fn new(name: &str, project: Option<&str>, digit: &str) -> NewSshKey {
    NewSshKey {
        name: name.parse().unwrap(),
        project: project.map(|name| name.parse().unwrap()),
        public_key: FIRST.parse::<PublicKey>().unwrap(),
        fingerprint: fingerprint(digit),
    }
}

#[tokio::test]
async fn keys_are_found_until_they_are_removed() {
    let world = World::new();
    let added = world.write(1, |tx| tx.add_ssh_key(new("laptop", Some("dropit"), "a"))).await;
    assert_eq!((added.id.to_string(), added.created_at, added.last_used_at), ("y1".to_owned(), at(1), None));
    assert_eq!(added.public_key.to_string(), FIRST);
    let other = world.write(1, |tx| tx.add_ssh_key(new("ci", None, "b"))).await;
    let twice = world.try_write(2, |tx| tx.add_ssh_key(new("laptop", None, "c"))).await;
    assert_eq!(twice.unwrap_err().to_string(), "there is a key for SSH named laptop already");
    let id = added.id;
    let find = async || world.store.read(move |view| view.find_ssh_key(id)).await.unwrap();
    let find_by = async |digit: &'static str| {
        world.store.read(move |view| view.find_ssh_key_by_fingerprint(&fingerprint(digit))).await.unwrap()
    };
    assert_eq!((find().await, find_by("a").await), (Some(added.clone()), Some(added.clone())));
    assert_eq!(find_by("c").await, None);
    assert_eq!(world.store.read(|view| view.list_ssh_keys()).await.unwrap(), [other, added]);

    world.write(3, |tx| tx.remove_ssh_key(&"laptop".parse().unwrap())).await;
    assert_eq!((find().await, find_by("a").await), (None, None));
    let again = world.try_write(3, |tx| tx.remove_ssh_key(&"laptop".parse().unwrap())).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert_eq!(
        world.story().await,
        [
            format!("SSH key laptop ({}) added for dropit", fingerprint("a")),
            format!("SSH key ci ({}) added for every project", fingerprint("b")),
            "SSH key laptop removed".to_owned(),
        ]
    );
    // An id is never given out again: it may stand in a file somewhere.
    let third = world.write(4, |tx| tx.add_ssh_key(new("laptop", None, "a"))).await;
    assert_eq!(third.id.to_string(), "y3");
}

#[tokio::test]
async fn use_is_recorded_at_most_once_a_minute() {
    let world = World::new();
    let id = world.write(0, |tx| tx.add_ssh_key(new("ci", None, "a"))).await.id;
    let touch = async |seconds| {
        world.write(seconds, move |tx| tx.touch_ssh_key(id)).await;
        let key = world.store.read(move |view| view.find_ssh_key(id)).await.unwrap().unwrap();
        key.last_used_at
    };
    assert_eq!(touch(10).await, Some(at(10)));
    assert_eq!(touch(69).await, Some(at(10)));
    assert_eq!(touch(70).await, Some(at(70)));
}
