//! Deploy keys: sealed, the new one beside the one the forge knows, and gone with their address; and the keys a host may show.

use havre_core::name::ProjectName;
use havre_core::secret::Secret;
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_store::{NewDeployKey, StoreError};

use crate::world::{World, at};

const URL: &str = "git@git.example.org:acme/dropit.git";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn fingerprint(digit: char) -> Fingerprint {
    format!("SHA256:{}", digit.to_string().repeat(43)).parse().unwrap()
}

fn host_key() -> (PublicKey, Fingerprint) {
    (KEY.parse().unwrap(), fingerprint('h'))
}

fn new(digit: char) -> NewDeployKey {
    NewDeployKey {
        public_key: KEY.parse().unwrap(),
        fingerprint: fingerprint(digit),
        private_key: Secret::from(format!("planted-{digit}")),
    }
}

async fn set(world: &World, seconds: i64, url: &'static str) {
    world.write(seconds, move |tx| tx.set_remote(&project(), &url.parse().unwrap(), None)).await;
}

async fn add(world: &World, digit: char) {
    world.write(1, move |tx| tx.add_deploy_key(&project(), new(digit))).await;
}

/// The private halves, the newest first.
async fn keys(world: &World) -> Vec<String> {
    let read = world.store.read(|view| view.list_deploy_secrets(&project())).await.unwrap();
    read.iter().map(|key| key.expose_text().unwrap().to_owned()).collect()
}

async fn host_keys(world: &World) -> Vec<(PublicKey, Fingerprint)> {
    world.store.read(|view| view.find_remote(&project())).await.unwrap().unwrap().host_keys
}

#[tokio::test]
async fn a_new_key_stands_beside_the_one_the_forge_knows() {
    let world = World::new();
    set(&world, 0, URL).await;
    add(&world, 'a').await;
    world.write(1, |tx| tx.set_host_keys(&project(), &[host_key()])).await;
    assert!(!world.write(1, |tx| tx.confirm_deploy_key(&project())).await, "it is alone");
    add(&world, 'b').await;
    add(&world, 'c').await;
    let world = world.reopen();
    assert_eq!(keys(&world).await, ["planted-c", "planted-a"], "nobody knows b yet");
    let rows = world.store.read(|view| view.list_deploy_keys(&project())).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.number, row.created_at)).collect();
    assert_eq!(shown, [(3, at(1)), (1, at(1))]);
    assert!(world.write(2, |tx| tx.confirm_deploy_key(&project())).await);
    assert_eq!(keys(&world).await, ["planted-c"]);
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"planted-"));
    }
    let [a, b, c, h] = ['a', 'b', 'c', 'h'].map(fingerprint);
    assert_eq!(
        world.story().await,
        [
            format!("dropit is fetched from {URL}"),
            format!("dropit is fetched with the deploy key {a} from the host key {h}"),
            format!("dropit is fetched with the deploy key {b} or {a} from the host key {h}"),
            format!("dropit is fetched with the deploy key {c} or {a} from the host key {h}"),
            format!("dropit is fetched with the deploy key {c} from the host key {h}"),
        ]
    );
}

#[tokio::test]
async fn keys_are_for_one_address() {
    let world = World::new();
    set(&world, 0, URL).await;
    add(&world, 'a').await;
    world.write(1, |tx| tx.set_host_keys(&project(), &[host_key()])).await;
    set(&world, 2, URL).await;
    assert_eq!(
        (keys(&world).await.len(), host_keys(&world).await),
        (1, vec![host_key()]),
        "the same address"
    );
    set(&world, 3, "git@git.example.org:acme/other.git").await;
    assert_eq!((keys(&world).await.len(), host_keys(&world).await), (0, Vec::new()));
    add(&world, 'b').await;
    world.write(4, |tx| tx.remove_remote(&project())).await;
    assert_eq!(keys(&world).await, Vec::<String>::new());
    let missing = world.try_write(5, |tx| tx.set_host_keys(&project(), &[host_key()])).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}
