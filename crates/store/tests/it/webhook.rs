//! Webhooks: a secret for each sender, and what was said once is not heard twice.

use havre_core::name::ProjectName;
use havre_core::secret::Secret;
use havre_store::StoreError;
use havre_store::webhook::DELIVERIES_KEPT;

use crate::world::{World, at};

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

async fn secret(world: &World, provider: &'static str) -> Option<String> {
    let found = world.store.read(move |view| view.find_webhook_secret(&project(), provider)).await.unwrap();
    found.map(|secret| secret.expose_text().unwrap().to_owned())
}

async fn is_new(world: &World, seconds: i64, delivery: &str, body: &str) -> bool {
    let (delivery, body) = (delivery.to_owned(), body.to_owned());
    world.write(seconds, move |tx| tx.remember_delivery(&project(), "github", &delivery, &body)).await
}

#[tokio::test]
async fn each_sender_has_its_secret() {
    let world = World::new();
    for (seconds, provider, text) in
        [(0, "github", "planted-one"), (1, "gitea", "two"), (2, "gitea", "three")]
    {
        world.write(seconds, move |tx| tx.set_webhook(&project(), provider, &Secret::from(text))).await;
    }
    let world = world.reopen();
    assert_eq!(secret(&world, "github").await.as_deref(), Some("planted-one"));
    assert_eq!(secret(&world, "gitea").await.as_deref(), Some("three"));
    assert_eq!(secret(&world, "gitlab").await, None);
    let rows = world.store.read(|view| view.list_webhooks(&project())).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.provider.as_str(), row.created_at)).collect();
    assert_eq!(rows, [("gitea", at(1)), ("github", at(0))]);
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(11).any(|part| part == b"planted-one"));
    }
    world.write(3, |tx| tx.remove_webhook(&project(), "gitea")).await;
    assert_eq!(secret(&world, "gitea").await, None);
    let again = world.try_write(4, |tx| tx.remove_webhook(&project(), "gitea")).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert_eq!(
        world.story().await,
        [
            "webhook of github set for dropit",
            "webhook of gitea set for dropit",
            "webhook of gitea set for dropit",
            "webhook of gitea removed from dropit",
        ]
    );
}

#[tokio::test]
async fn a_secret_of_another_sender_does_not_open() {
    let world = World::new();
    for provider in ["github", "gitea"] {
        world.write(0, move |tx| tx.set_webhook(&project(), provider, &Secret::from(provider))).await;
    }
    let outside = rusqlite::Connection::open(world.path()).unwrap();
    let sql = "UPDATE webhooks SET sealed_secret = \
        (SELECT sealed_secret FROM webhooks WHERE provider = 'github') WHERE provider = 'gitea'";
    outside.execute(sql, []).unwrap();
    let swapped = world.store.read(|view| view.find_webhook_secret(&project(), "gitea")).await;
    assert!(matches!(swapped, Err(StoreError::Sealed { .. })), "{swapped:?}");
}

#[tokio::test]
async fn what_was_said_is_not_heard_twice() {
    let world = World::new();
    assert!(is_new(&world, 0, "one", "x").await);
    assert!(!is_new(&world, 1, "one", "y").await, "the same id");
    assert!(!is_new(&world, 299, "two", "x").await, "the same body under an id somebody has made up");
    assert!(is_new(&world, 301, "two", "x").await, "pushed, set back and pushed again");
    assert!(!is_new(&world, 100_000, "one", "z").await, "ids are kept");
    let is_new_elsewhere = world.write(0, |tx| tx.remember_delivery(&project(), "gitea", "one", "x")).await;
    assert!(is_new_elsewhere, "each webhook remembers its own");
}

#[tokio::test]
async fn only_the_newest_are_remembered() {
    let world = World::new();
    assert!(is_new(&world, 0, "oldest", "b-oldest").await);
    world
        .write(1, |tx| {
            for number in 0..DELIVERIES_KEPT {
                let (delivery, body) = (format!("d{number}"), format!("b{number}"));
                assert!(tx.remember_delivery(&project(), "github", &delivery, &body)?);
            }
            Ok(())
        })
        .await;
    assert!(!is_new(&world, 2, "d0", "other").await);
    assert!(is_new(&world, 3, "oldest", "b-oldest-again").await, "it was forgotten");
}
