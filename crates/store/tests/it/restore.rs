//! Restores: each has a database nobody had before, and one that failed leaves none.

use std::collections::BTreeMap;

use havre_core::backup::Content;
use havre_core::backup::manifest::Manifest;
use havre_core::backup::state::About;
use havre_core::id::EnvironmentId;
use havre_rescue::proof::{Failure, Findings, Keys, Progress, Stage};
use havre_rescue::restore::{Restore, State};
use havre_store::{NewRestore, StoreError};

use crate::world::{World, at, environment};

pub(crate) fn manifest() -> Manifest {
    let about = About {
        what: "database/dropit/production/db".parse().unwrap(),
        source_version: "PostgreSQL 15.14".to_owned(),
        rows: BTreeMap::from([("public.users".to_owned(), 2)]),
        repository: "b".repeat(64).parse().unwrap(),
        started_at: at(0),
    };
    let content = Content { bytes: 10, sha256: "a".repeat(64).parse().unwrap() };
    Manifest::new(&about, &content, &"1".repeat(64).parse().unwrap(), at(1))
}

fn new(environment: EnvironmentId, name: &str) -> NewRestore {
    let spec = serde_json::json!({"name": name, "engine": "postgres", "version": 15, "memory": "512MB", "cpus": "1"});
    NewRestore {
        environment,
        source: "db".parse().unwrap(),
        spec: serde_json::from_value(spec).unwrap(),
        target: "disk".parse().unwrap(),
        manifest: manifest(),
        recovery: None,
    }
}

async fn create(world: &World, name: &'static str) -> Result<Restore, StoreError> {
    world
        .try_write(2, move |tx| {
            let environment = environment(tx)?;
            tx.create_restore(&new(environment, name))
        })
        .await
}

#[tokio::test]
async fn a_restore_makes_a_database_and_keeps_its_manifest() {
    let world = World::new();
    let made = create(&world, "db-restored-1").await.unwrap();
    assert_eq!((made.id.to_string().as_str(), made.state.name()), ("v1", "preparing"));
    assert_eq!(made.manifest, manifest());
    let id = made.database;
    let database = world.store.read(move |view| view.get_database(id)).await.unwrap();
    assert_eq!(database.spec.name.as_str(), "db-restored-1");
    let open = world.store.read(|view| view.list_open_restores()).await.unwrap();
    assert_eq!(open, std::slice::from_ref(&made));

    let ready =
        State::Ready { at: at(3), findings: Findings { rows: manifest().rows, ..Findings::default() } };
    let from = made.state.clone();
    world.write(3, move |tx| tx.set_restore_state(made.id, &from, &ready)).await;
    let world = world.reopen();
    let all = world.store.read(|view| view.list_restores(&manifest().what.key(), 10)).await.unwrap();
    assert_eq!((all.len(), all[0].state.name(), all[0].ended_at), (1, "ready", Some(at(3))));
    assert!(world.store.read(|view| view.list_open_restores()).await.unwrap().is_empty());
    assert_eq!(
        world.story().await,
        [
            "database db-restored-1 wanted",
            "restore v1 of database dropit/production/db as db-restored-1 asked for: snapshot 11111111",
            "restore v1 of database dropit/production/db is ready: db-restored-1 is what was saved",
        ]
    );
}

#[tokio::test]
async fn nothing_is_restored_into_what_is_there() {
    let world = World::new();
    create(&world, "db").await.unwrap();
    let error = create(&world, "db").await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { kind: "database", .. }), "{error}");
    world.service().await;
    let error = create(&world, "api").await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { kind: "service", .. }), "{error}");
}

#[tokio::test]
async fn one_that_failed_takes_its_database_with_it() {
    let world = World::new();
    let made = create(&world, "db-restored-1").await.unwrap();
    let reason = Failure::Loader { reason: "pg_restore ended with code 1".to_owned() };
    let failed = State::Failed { at: at(3), stage: Stage::Loading, reason };
    let (from, to) = (made.state.clone(), failed.clone());
    world.write(3, move |tx| tx.set_restore_state(made.id, &from, &to)).await;
    let id = made.database;
    let database = world.store.read(move |view| view.get_database(id)).await.unwrap();
    assert!(database.state.is_destroying());
    let error =
        world.try_write(4, move |tx| tx.set_restore_state(made.id, &State::first(at(2)), &failed)).await;
    assert!(matches!(error, Err(StoreError::Conflict { .. })), "{error:?}");
    assert!(world.story().await.contains(
        &"restore v1 of database dropit/production/db failed while loading: the snapshot could not be loaded: \
          pg_restore ended with code 1"
            .to_owned()
    ));
}

#[tokio::test]
async fn one_whose_snapshot_is_read_at_a_start_gets_one() {
    let world = World::new();
    let made = create(&world, "db-restored-1").await.unwrap();
    let id = made.database;
    let filled = async || world.store.read(|view| view.list_databases_being_filled()).await.unwrap();
    assert_eq!(filled().await.into_iter().collect::<Vec<_>>(), [id]);
    let keys = Keys { expiring: 0, saved: 2 };
    let progress = Progress::Starting { since: at(3), loaded: manifest().content, keys };
    let starting = State::Working { progress };
    let (from, to) = (made.state.clone(), starting.clone());
    world.write(3, move |tx| tx.set_restore_state(made.id, &from, &to)).await;
    let to = starting.clone();
    world.write(4, move |tx| tx.set_restore_state(made.id, &to, &to)).await;
    let database = world.store.read(move |view| view.get_database(id)).await.unwrap();
    assert_eq!((database.revision, database.started_revision), (2, 1), "once, however often it is said");
    let ready = State::Ready { at: at(5), findings: Findings::default() };
    world.write(5, move |tx| tx.set_restore_state(made.id, &starting, &ready)).await;
    assert!(filled().await.is_empty());
}

#[tokio::test]
async fn there_is_a_most_at_once() {
    let world = World::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        create(&world, name).await.unwrap();
    }
    let error = create(&world, "i").await.unwrap_err();
    assert!(matches!(error, StoreError::TooManyRestores { most: 8 }), "{error}");
}
