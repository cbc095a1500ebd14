//! Registries: the password comes back for its own host only and lies nowhere in plain; limits are told once.

use havre_core::artifact::{Digest, ImageRef};
use havre_core::quantity::Span;
use havre_core::registry::{Credentials, RegistryHost, parse_password};
use havre_decide::registry::limit::PullLimit;
use havre_store::StoreError;

use crate::world::{World, at};

fn host(text: &str) -> RegistryHost {
    text.parse().unwrap()
}

fn credentials(host_text: &str, user: &str, password: &str) -> Credentials {
    Credentials {
        host: host(host_text),
        user: user.parse().unwrap(),
        password: parse_password(password.to_owned()).unwrap(),
    }
}

/// User and password for a host.
async fn found(world: &World, host_text: &str) -> Option<(String, String)> {
    let host = host(host_text);
    let found = world.store.read(move |view| view.find_registry_credentials(&host)).await.unwrap();
    found.map(|found| (found.user.to_string(), found.password.expose_text().unwrap().to_owned()))
}

#[tokio::test]
async fn a_password_is_for_one_host_and_lies_nowhere_in_plain() {
    let world = World::new();
    let first = credentials("registry.example.org:5000", "ada", "planted-password");
    world.write(0, move |tx| tx.set_registry(&first)).await;
    let second = credentials("other.example.org", "grace", "other-password");
    world.write(1, move |tx| tx.set_registry(&second)).await;
    let world = world.reopen();
    let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    assert_eq!(found(&world, "registry.example.org:5000").await, pair("ada", "planted-password"));
    assert_eq!(found(&world, "other.example.org").await, pair("grace", "other-password"));
    for other in ["registry.example.org", "registry.example.org:5001", "example.org", "docker.example"] {
        assert_eq!(found(&world, other).await, None, "{other}");
    }
    let listed = world.store.read(|view| view.list_registries()).await.unwrap();
    let listed: Vec<_> =
        listed.iter().map(|row| (row.host.as_str(), row.user.as_str(), row.set_at)).collect();
    assert_eq!(listed, [("other.example.org", "grace", at(1)), ("registry.example.org:5000", "ada", at(0))]);
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|part| part == b"planted-password"));
    }

    let again = credentials("registry.example.org:5000", "eve", "new");
    world.write(2, move |tx| tx.set_registry(&again)).await;
    assert_eq!(found(&world, "registry.example.org:5000").await, pair("eve", "new"));
    world.write(3, |tx| tx.remove_registry(&host("registry.example.org:5000"))).await;
    assert_eq!(found(&world, "registry.example.org:5000").await, None);
    let gone = world.try_write(4, |tx| tx.remove_registry(&host("registry.example.org:5000"))).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    assert_eq!(
        world.story().await,
        [
            "images of registry.example.org:5000 are pulled as ada",
            "images of other.example.org are pulled as grace",
            "images of registry.example.org:5000 are pulled as eve",
            "images of registry.example.org:5000 are pulled without credentials",
        ]
    );
}

#[tokio::test]
async fn a_password_of_another_row_does_not_open() {
    let world = World::new();
    let first = credentials("registry.example.org", "ada", "planted-password");
    world.write(0, move |tx| tx.set_registry(&first)).await;
    let second = credentials("evil.example.org", "eve", "x");
    world.write(0, move |tx| tx.set_registry(&second)).await;
    let path = world.path();
    let World { store, folder } = world;
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE registries SET sealed_password = \
               (SELECT sealed_password FROM registries WHERE host = 'registry.example.org') \
               WHERE host = 'evil.example.org'";
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
    drop(connection);
    let store = havre_store::Store::open(crate::world::options(path)).unwrap();
    let world = World { store, folder };
    let evil = host("evil.example.org");
    let opened = world.store.read(move |view| view.find_registry_credentials(&evil)).await;
    assert!(matches!(opened, Err(StoreError::Sealed { .. })), "{opened:?}");
    assert!(found(&world, "registry.example.org").await.is_some());
}

fn limit(remaining: u64) -> PullLimit {
    PullLimit { remaining, limit: 100, window: Span::seconds(21_600) }
}

#[tokio::test]
async fn limits_are_kept_and_few_pulls_are_told_once() {
    let world = World::new();
    let hub = RegistryHost::hub;
    let row = async || {
        let host = hub();
        world.store.read(move |view| view.find_registry_limit(&host)).await.unwrap()
    };
    world.write(0, move |tx| tx.ask_registry(&hub())).await;
    world.write(0, move |tx| tx.record_registry_limit(&hub(), limit(3))).await;
    assert_eq!(row().await, None, "nobody uses it");

    world.write(1, move |tx| tx.use_registry(&hub())).await;
    let found = row().await.unwrap();
    assert_eq!((found.used_at, found.asked_at, found.said), (at(1), None, None));
    world.write(2, move |tx| tx.ask_registry(&hub())).await;
    for (seconds, remaining) in [(3, 80), (4, 19), (5, 3), (6, 90), (7, 1)] {
        world.write(seconds, move |tx| tx.record_registry_limit(&hub(), limit(remaining))).await;
    }
    world.write(8, move |tx| tx.use_registry(&hub())).await;
    let found = row().await.unwrap();
    assert_eq!((found.used_at, found.asked_at), (at(8), Some(at(2))));
    assert_eq!(found.said, Some((limit(1), at(7))));

    let other = Credentials { host: hub(), ..credentials("a.example", "ada", "planted") };
    world.write(9, move |tx| tx.set_registry(&other)).await;
    let found = row().await.unwrap();
    assert_eq!((found.asked_at, found.said), (None, None), "another user has another limit");
    let story = world.story().await;
    let few: Vec<&String> = story.iter().filter(|line| line.contains("few more pulls")).collect();
    assert_eq!(few.len(), 2, "{story:?}");
    assert!(few[0].ends_with("gives few more pulls: 19 of 100 in 6h are left"), "{story:?}");
    assert!(few[1].contains("1 of 100"), "{story:?}");
}

#[tokio::test]
async fn an_image_that_served_is_told_of_its_service() {
    let world = World::new();
    let id = world.service().await;
    let reference: ImageRef = "registry.example.org/app:1".parse().unwrap();
    let image: Digest = "a".repeat(64).parse().unwrap();
    world.write(1, move |tx| tx.tell_present_image(id, &reference, &image)).await;
    let events = world.store.read(move |view| view.events(0, Some(id), 100)).await.unwrap();
    assert_eq!(
        events.last().unwrap().kind.to_string(),
        "registry.example.org limits pulls: registry.example.org/app:1 is the image that was on this machine (aaaaaaaaaaaa)"
    );
}
