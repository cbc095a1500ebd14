//! Secrets of builds: a value comes back and lies nowhere in plain; one that is missing or was moved is named.

use std::collections::BTreeSet;

use havre_core::name::{BuildSecretName, ProjectName};
use havre_core::secret::Secret;
use havre_store::StoreError;

use crate::world::{World, at};

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn name(text: &str) -> BuildSecretName {
    text.parse().unwrap()
}

async fn values(world: &World, names: &[&str]) -> Result<Vec<String>, StoreError> {
    let names: BTreeSet<BuildSecretName> = names.iter().map(|text| name(text)).collect();
    let found = world.store.read(move |view| view.get_build_secrets(&project(), &names)).await?;
    Ok(found.values().map(|value| value.expose_text().unwrap().to_owned()).collect())
}

async fn set(world: &World, seconds: i64, called: &'static str, value: &str) {
    let value = Secret::from(value);
    world.write(seconds, move |tx| tx.set_build_secret(&project(), &name(called), &value)).await;
}

#[tokio::test]
async fn a_value_comes_back_and_lies_nowhere_in_plain() {
    let world = World::new();
    set(&world, 0, "NPM_TOKEN", "planted-first").await;
    set(&world, 1, "NPM_TOKEN", "planted-second").await;
    set(&world, 2, "PIP_TOKEN", "planted-other").await;
    let world = world.reopen();
    assert_eq!(
        values(&world, &["NPM_TOKEN", "PIP_TOKEN"]).await.unwrap(),
        ["planted-second", "planted-other"]
    );
    let listed = world.store.read(|view| view.list_build_secrets(&project())).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|row| (row.name.as_str(), row.set_at)).collect();
    assert_eq!(listed, [("NPM_TOKEN", at(1)), ("PIP_TOKEN", at(2))]);
    let others = world.store.read(|view| view.list_build_secrets(&"other".parse().unwrap())).await.unwrap();
    assert_eq!(others, []);
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"planted-"));
    }

    world.write(3, |tx| tx.remove_build_secret(&project(), &name("PIP_TOKEN"))).await;
    let error = values(&world, &["NPM_TOKEN", "PIP_TOKEN"]).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no build secret PIP_TOKEN");
    let again = world.try_write(4, |tx| tx.remove_build_secret(&project(), &name("PIP_TOKEN"))).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert_eq!(
        world.story().await,
        [
            "build secret NPM_TOKEN set for dropit",
            "build secret NPM_TOKEN set for dropit",
            "build secret PIP_TOKEN set for dropit",
            "build secret PIP_TOKEN removed from dropit",
        ]
    );
}

#[tokio::test]
async fn a_value_that_was_moved_is_an_error_that_names_it() {
    let world = World::new();
    set(&world, 0, "ONE", "planted-first").await;
    set(&world, 1, "TWO", "planted-second").await;
    let sql = "UPDATE build_secrets SET sealed_value = (SELECT sealed_value FROM build_secrets WHERE name = 'ONE') \
               WHERE name = 'TWO'";
    rusqlite::Connection::open(world.path()).unwrap().execute(sql, []).unwrap();
    let error = values(&world, &["TWO"]).await.unwrap_err();
    assert!(matches!(error, StoreError::Sealed { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("dropit/TWO") && !text.contains("planted"), "{text}");
}
