//! The master key at the start: needed as soon as something is sealed, and the same one.

use havre_core::dns::provider::{Provider, ProviderKind};
use havre_core::secret::Secret;
use havre_store::{MasterKey, OpenOptions, Store, StoreError};

use crate::world::{World, at, options};

fn provider() -> Provider {
    let fields = [("token".to_owned(), Secret::from("x"))].into();
    Provider::parse(ProviderKind::Infomaniak, fields).unwrap()
}

#[tokio::test]
async fn without_a_key_all_works_but_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::open(OpenOptions { master_key: None, ..options(path) }).unwrap();
    let written = store
        .write(at(0), havre_core::event::Actor::Local, |tx| {
            tx.set_dns_provider(&"a.org".parse().unwrap(), &provider())
        })
        .await;
    assert!(matches!(written, Err(StoreError::NoMasterKey)), "{written:?}");
    let uploaded = store.read(|view| view.list_certificates()).await.unwrap();
    assert!(uploaded.is_empty());
}

#[tokio::test]
async fn what_is_sealed_needs_its_key_to_start() {
    let world = World::new();
    world.write(0, |tx| tx.set_dns_provider(&"a.org".parse().unwrap(), &provider())).await;
    let World { store, folder } = world;
    drop(store);
    let open = |key: Option<MasterKey>| {
        Store::open(OpenOptions { master_key: key, ..options(folder.path().join("store")) }).map(|_| ())
    };
    let own = MasterKey::new([7; 32]).name();
    let missing = open(None).unwrap_err().to_string();
    assert_eq!(
        missing,
        format!(
            "could not open the store: it holds values sealed with the master key {own}, and there is no master key; \
             restore that key, nothing was changed"
        )
    );
    let other = open(Some(MasterKey::new([8; 32]))).unwrap_err().to_string();
    assert!(other.contains(&own) && other.contains("the one there is"), "{other}");
    assert!(open(Some(MasterKey::new([7; 32]))).is_ok());
}
