//! Issuers, accounts and DNS providers: what is sealed comes back, and what changes with what.

use std::collections::BTreeMap;

use havre_core::certificate::Stage;
use havre_core::certificate::challenge::ChallengeKind;
use havre_core::certificate::issuer::Issuer;
use havre_core::dns::provider::{Provider, ProviderKind};
use havre_core::name::{DnsName, IssuerName};
use havre_core::secret::Secret;
use havre_store::StoreError;

use crate::world::World;

fn name() -> IssuerName {
    "own".parse().unwrap()
}

fn issuer(directory: &str) -> Issuer {
    Issuer {
        name: name(),
        rank: 1,
        directory: directory.parse().unwrap(),
        staging: Some("https://acme.example.org/staging".parse().unwrap()),
        contact: None,
        challenges: vec![ChallengeKind::Http01],
        eab_key_id: Some("kid".to_owned()),
        root_pem: None,
    }
}

#[tokio::test]
async fn accounts_live_as_long_as_their_directory() {
    let world = World::new();
    let key = Secret::from("planted-eab-key");
    world.write(0, move |tx| tx.set_issuer(&issuer("https://acme.example.org/dir"), Some(&key))).await;
    let eab = world.store.read(|view| view.find_eab_key(&name())).await.unwrap().unwrap();
    assert_eq!(eab.expose(), b"planted-eab-key");
    for stage in [Stage::Production, Stage::Rehearsal] {
        world
            .write(1, move |tx| {
                tx.ensure_account_key(&name(), stage, &Secret::from("one"))?;
                let kept = tx.ensure_account_key(&name(), stage, &Secret::from("two"))?;
                assert_eq!(kept.key.expose(), b"one", "a second key would be a second account");
                tx.set_account_url(&name(), stage, "https://acme.example.org/account/1")
            })
            .await;
    }
    let key = Secret::from("planted-eab-key");
    world.write(2, move |tx| tx.set_issuer(&issuer("https://acme.example.org/other"), Some(&key))).await;
    let urls = world.store.read(|view| view.list_account_urls(&name())).await.unwrap();
    assert_eq!(urls, [(Stage::Rehearsal, "https://acme.example.org/account/1".to_owned())]);
    world.write(3, |tx| tx.remove_issuer(&name())).await;
    let gone = world.store.read(|view| view.find_account(&name(), Stage::Rehearsal)).await.unwrap();
    assert!(gone.is_none());
    assert_eq!(
        world.story().await,
        [
            "issuer own set",
            "account at own made: https://acme.example.org/account/1",
            "account at own made: https://acme.example.org/account/1",
            "issuer own set",
            "issuer own removed",
        ]
    );
}

#[tokio::test]
async fn credentials_come_back_to_us_and_to_nobody_else() {
    let world = World::new();
    let zone: DnsName = "example.org".parse().unwrap();
    let fields = BTreeMap::from([("token".to_owned(), Secret::from("planted-token"))]);
    let provider = Provider::parse(ProviderKind::Infomaniak, fields).unwrap();
    world
        .write(0, {
            let zone = zone.clone();
            move |tx| tx.set_dns_provider(&zone, &provider)
        })
        .await;
    let world = world.reopen();
    let back = world
        .store
        .read({
            let zone = zone.clone();
            move |view| view.get_dns_provider(&zone)
        })
        .await
        .unwrap();
    assert_eq!(back.value("token"), "planted-token");
    let listed = world.store.read(|view| view.list_dns_providers()).await.unwrap();
    assert_eq!(listed, [(zone.clone(), ProviderKind::Infomaniak)]);
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(13).any(|part| part == b"planted-token"));
    }
    world.write(1, move |tx| tx.remove_dns_provider(&zone)).await;
    assert_eq!(
        world.story().await,
        ["DNS provider of example.org set to infomaniak", "DNS provider of example.org removed"]
    );
}

#[tokio::test]
async fn a_swapped_value_does_not_open() {
    let world = World::new();
    for zone in ["a.org", "b.org"] {
        let fields = BTreeMap::from([("token".to_owned(), Secret::from(zone))]);
        let provider = Provider::parse(ProviderKind::Infomaniak, fields).unwrap();
        world.write(0, move |tx| tx.set_dns_provider(&zone.parse().unwrap(), &provider)).await;
    }
    let outside = rusqlite::Connection::open(world.path()).unwrap();
    let sql = "UPDATE dns_providers SET sealed_fields = (SELECT sealed_fields FROM dns_providers WHERE zone = 'a.org') \
        WHERE zone = 'b.org'";
    outside.execute(sql, []).unwrap();
    let swapped = world.store.read(|view| view.get_dns_provider(&"b.org".parse().unwrap())).await;
    assert!(matches!(swapped, Err(StoreError::Sealed { .. })), "{swapped:?}");
}
