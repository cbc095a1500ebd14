//! Databases: what is wanted, passwords that lie nowhere in plain, roles, and what may not be.

use std::collections::BTreeSet;

use havre_core::database::spec::DatabaseSpec;
use havre_core::database::state::{State, StopReason};
use havre_core::database::{Database, Image, RoleState};
use havre_core::name::ServiceName;
use havre_store::{Applied, StoreError};

use crate::world::{World, apply, at, environment, release, tasks};

fn spec(name: &str, version: u8, memory: &str) -> DatabaseSpec {
    serde_json::from_value(serde_json::json!({
        "name": name, "engine": "postgres", "version": version, "memory": memory, "cpus": "1",
    }))
    .unwrap()
}

/// A database `db` in the environment of the other tests.
async fn database(world: &World) -> Database {
    world
        .write(0, |tx| {
            let environment = environment(tx)?;
            Ok(tx.apply_database(environment, &spec("db", 16, "512MB"))?.0)
        })
        .await
}

async fn row(world: &World, database: &Database) -> Database {
    let id = database.id;
    world.store.read(move |view| view.get_database(id)).await.unwrap()
}

async fn roles(world: &World, database: &Database) -> Vec<(String, RoleState)> {
    let id = database.id;
    let roles = world.store.read(move |view| view.list_database_roles(id)).await.unwrap();
    roles.into_iter().map(|role| (role.name.to_string(), role.state)).collect()
}

#[tokio::test]
async fn it_keeps_what_it_is_and_takes_what_changes() {
    let world = World::new();
    let made = database(&world).await;
    assert_eq!((made.revision, made.task, made.started_revision), (1, 1, 1));
    assert_eq!(made.shown_state(), "creating");
    let image = Image { id: "b".repeat(64).parse().unwrap(), pull: None };
    let id = made.id;
    world.write(1, move |tx| tx.set_database_image(id, &image)).await;
    let apply = |spec: DatabaseSpec| {
        world.try_write(2, move |tx| {
            let environment = environment(tx)?;
            Ok(tx.apply_database(environment, &spec)?.1)
        })
    };
    assert_eq!(apply(spec("db", 16, "512MB")).await.unwrap(), Applied::Unchanged);
    assert_eq!(apply(spec("db", 16, "1GB")).await.unwrap(), Applied::Changed);
    let changed = row(&world, &made).await;
    assert_eq!((changed.revision, changed.started_revision), (2, 1));
    assert!(changed.image.is_some(), "a tag that moved is not followed because the memory changed");
    let other = DatabaseSpec { image: Some("own/postgres:16".parse().unwrap()), ..spec("db", 16, "1GB") };
    assert_eq!(apply(other).await.unwrap(), Applied::Changed);
    assert_eq!(row(&world, &made).await.image, None);
    let error = apply(spec("db", 17, "1GB")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database dropit/production/db is postgres 16 and cannot become postgres 17 as it is: its files are of no use to \
         another server"
    );
}

#[tokio::test]
async fn names_are_shared_with_services() {
    let world = World::new();
    database(&world).await;
    let error = world.try_write(1, |tx| apply(tx, tasks("db", 1, &[])).map(|_| ())).await.unwrap_err();
    assert_eq!(error.to_string(), "there is a database named db already");
    world.service().await;
    let error = world
        .try_write(1, |tx| {
            let environment = environment(tx)?;
            tx.apply_database(environment, &spec("api", 16, "512MB")).map(|_| ())
        })
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is a service named api already");
}

#[tokio::test]
async fn a_task_is_begun_before_the_engine_is_asked() {
    let world = World::new();
    let made = database(&world).await;
    let (id, from) = (made.id, made.state.clone());
    let stopped = State::Stopped { since: at(1), why: StopReason::Lost, failures: 0 };
    let to = stopped.clone();
    world.write(1, move |tx| tx.set_database_state(id, &from, to)).await;
    let from = stopped.clone();
    world.write(2, move |tx| tx.begin_database_task(id, &from, 3)).await;
    let begun = row(&world, &made).await;
    assert_eq!((begun.task, begun.state.clone()), (2, State::Starting { since: at(2), failures: 3 }));
    let again = world.try_write(3, move |tx| tx.begin_database_task(id, &stopped, 3)).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let from = begun.state;
    world.write(4, move |tx| tx.set_database_state(id, &from, State::Ready { since: at(4) })).await;
    assert_eq!(row(&world, &made).await.ready_at, Some(at(4)));
    assert_eq!(
        world.story().await,
        [
            "database db wanted",
            "database db stopped: its task was removed by somebody else",
            "database db is starting (task 2)",
            "database db is ready",
        ]
    );
}

#[tokio::test]
async fn passwords_lie_nowhere_in_plain_and_come_back() {
    let world = World::new();
    let made = database(&world).await;
    let service: ServiceName = "api".parse().unwrap();
    let (row, name) = (made.clone(), service.clone());
    let role = world.write(1, move |tx| tx.add_database_role(&row, &name)).await;
    assert_eq!(role.to_string(), "api_a");
    let world = world.reopen();
    let (row, name) = (made.clone(), role.clone());
    let (superuser, password, logins) = world
        .store
        .read(move |view| {
            Ok((
                view.get_database_superuser(&row)?,
                view.get_role_password(row.id, &name)?,
                view.list_database_logins(row.id)?,
            ))
        })
        .await
        .unwrap();
    assert_eq!((password.expose().len(), logins.len()), (43, 1));
    assert_ne!(superuser.password.expose(), password.expose());
    assert_ne!(superuser.digest, logins[0].digest);
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [&superuser.password, &password] {
            assert!(!bytes.windows(43).any(|part| part == secret.expose()));
        }
    }
}

#[tokio::test]
async fn a_service_gets_in_once_its_role_is_made_and_changes_its_password_without_a_gap() {
    let world = World::new();
    let made = database(&world).await;
    let service: ServiceName = "api".parse().unwrap();
    let link = |world: &World| {
        let (row, name) = (made.clone(), service.clone());
        let store = world.store.clone();
        async move {
            let found = store.read(move |view| view.find_database_link(&row, &name)).await.unwrap();
            found.map(|link| link.role.to_string())
        }
    };
    let (row, name) = (made.clone(), service.clone());
    let first = world.write(1, move |tx| tx.add_database_role(&row, &name)).await;
    assert_eq!(link(&world).await, None);
    let row = made.clone();
    assert!(!world.write(2, move |tx| tx.set_role_made(&row, &first)).await);
    assert_eq!(link(&world).await.as_deref(), Some("api_a"));

    let (row, name) = (made.clone(), service.clone());
    let second = world.write(3, move |tx| tx.add_database_role(&row, &name)).await;
    assert_eq!(link(&world).await.as_deref(), Some("api_a"), "the new one is not known yet");
    let (row, name) = (made.clone(), service.clone());
    let third = world.try_write(3, move |tx| tx.add_database_role(&row, &name)).await;
    assert!(matches!(third, Err(StoreError::RotationRunning { .. })), "{third:?}");
    let (row, role) = (made.clone(), second.clone());
    assert!(world.write(4, move |tx| tx.set_role_made(&row, &role)).await, "there was one before");
    assert_eq!(link(&world).await.as_deref(), Some("api_b"));
    assert_eq!(
        roles(&world, &made).await,
        [("api_a".to_owned(), RoleState::Replaced { at: at(4) }), ("api_b".to_owned(), RoleState::Made)]
    );
    let (row, old) = (made.clone(), second.other());
    world.write(5, move |tx| tx.remove_database_role(&row, &old)).await;
    assert_eq!(roles(&world, &made).await.len(), 1);
    assert_eq!(
        world.story().await,
        [
            "database db wanted",
            "database db lets api in as api_a",
            "database db lets api in as api_b",
            "database db lets api_a in no more",
        ]
    );
}

#[tokio::test]
async fn who_uses_it() {
    let world = World::new();
    let made = database(&world).await;
    let service = world.service().await;
    let users = |world: &World| {
        let (row, store) = (made.clone(), world.store.clone());
        async move { store.read(move |view| view.list_database_users(&row)).await.unwrap() }
    };
    assert_eq!(users(&world).await, BTreeSet::new());
    let mut with = tasks("api", 2, &[]);
    let havre_core::service::spec::Work::Tasks(work) = &mut with.work else { panic!("it has tasks") };
    work.uses = vec!["db".parse().unwrap()];
    world.write(1, move |tx| apply(tx, with).map(|_| ())).await;
    assert_eq!(users(&world).await, BTreeSet::from(["api".parse().unwrap()]));
    // Its releases do not, so it is no user any more once nobody wants it.
    world.write(2, move |tx| release(tx, service, 1).map(|_| ())).await;
    world.write(3, move |tx| tx.request_destroy(service, at(3))).await;
    assert_eq!(users(&world).await, BTreeSet::new());
}

#[tokio::test]
async fn an_environment_stays_until_its_databases_are_gone() {
    let world = World::new();
    let made = database(&world).await;
    let (id, home) = (made.id, made.environment);
    let error = world.try_write(1, move |tx| tx.remove_environment(home)).await.unwrap_err();
    assert_eq!(error.to_string(), "could not remove environment dropit/production: databases left in it: 1");
    let error = world.try_write(1, move |tx| tx.remove_database(id)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotDestroyed { .. }), "{error}");
    world.write(2, move |tx| tx.request_database_destroy(id, at(2))).await;
    let again = world
        .try_write(3, |tx| {
            let environment = environment(tx)?;
            tx.apply_database(environment, &spec("db", 16, "512MB")).map(|_| ())
        })
        .await;
    assert!(matches!(again, Err(StoreError::BeingDestroyed { .. })), "{again:?}");
    world
        .write(4, move |tx| {
            tx.remove_database(id)?;
            tx.remove_environment(home)
        })
        .await;
    assert_eq!(
        world.story().await,
        ["database db wanted", "database db should go with its data", "database db is gone with its data"]
    );
}
