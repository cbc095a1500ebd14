//! A store that came back on another server: nothing is said to be there, a lost database never becomes an empty one, and its file is sound.

use std::io::{Seek as _, SeekFrom, Write as _};

use havre_core::backup::target::{TargetSpec, TargetState};
use havre_core::database::Database;
use havre_core::database::state::State as Server;
use havre_core::id::{EnvironmentId, RestoreId};
use havre_rescue::proof::{Failure, Findings, Stage};
use havre_rescue::restore::{Restore, State};
use havre_store::rebuild::{check_file, settle_file};
use havre_store::{NewRecovery, NewRestore, Store, StoreError};

use crate::restore::manifest;
use crate::world::{World, at, environment, options, release};

fn recovery(digit: char) -> NewRecovery {
    NewRecovery {
        owner: digit.to_string().repeat(32).parse().unwrap(),
        snapshot: "1".repeat(64).parse().unwrap(),
        saved_at: at(50),
    }
}

/// Makes a database `db` with a policy, which is ready and lets a service in.
async fn database(world: &World) -> Database {
    let spec = serde_json::json!({
        "name": "db", "engine": "postgres", "version": 15, "memory": "512MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "daily": 7 } },
    });
    world
        .write(0, move |tx| {
            let environment = environment(tx)?;
            let (made, _) = tx.apply_database(environment, &serde_json::from_value(spec).unwrap())?;
            tx.set_database_state(made.id, &made.state, Server::Ready { since: at(0) })?;
            let role = tx.add_database_role(&made, &"api".parse().unwrap())?;
            tx.set_role_made(&made, &role)?;
            tx.get_database(made.id)
        })
        .await
}

async fn settle(world: &World, seconds: i64) {
    world.write(seconds, |tx| tx.settle_recovered(&recovery('a')).map(drop)).await;
}

/// The database of this name, if there is one, and whether its data is lost.
async fn now(world: &World) -> Option<(Database, bool)> {
    let read = world.store.read(|view| {
        let Some(database) = view.list_databases()?.into_iter().next() else { return Ok(None) };
        let is_lost = view.find_loss(&database)?.is_some();
        Ok(Some((database, is_lost)))
    });
    read.await.unwrap()
}

fn new(environment: EnvironmentId, database: &Database) -> NewRestore {
    NewRestore {
        environment,
        source: database.spec.name.clone(),
        spec: database.spec.clone(),
        target: "disk".parse().unwrap(),
        manifest: manifest(),
        recovery: None,
    }
}

async fn put_back(world: &World, database: &Database) -> Restore {
    let new = new(database.environment, database);
    world.write(200, move |tx| tx.create_restore(&new)).await
}

async fn end(world: &World, id: RestoreId, to: State) {
    world
        .write(300, move |tx| {
            let from = tx.get_restore(id)?.state;
            tx.set_restore_state(id, &from, &to)
        })
        .await;
}

#[tokio::test]
async fn nothing_is_said_to_be_there() {
    let world = World::new();
    let service = world.service().await;
    let made = database(&world).await;
    world
        .write(1, move |tx| {
            let release = release(tx, service, 2)?;
            tx.allocate_task(service, release, 0, true)?;
            let spec: TargetSpec = serde_json::from_value(serde_json::json!({
                "name": "disk", "location": {"kind": "folder", "path": "/mnt/disk"}, "medium": "two", "is_offsite": false,
            }))
            .unwrap();
            tx.set_backup_target(&spec, None)?;
            tx.record_repository(&spec.name, &"b".repeat(64).parse().unwrap())
        })
        .await;
    settle(&world, 100).await;
    let (after, is_lost) = now(&world).await.unwrap();
    assert_eq!((after.id, after.state.name(), is_lost), (made.id, "stopped", true));
    let read = world.store.read(move |view| {
        let lost = view.list_lost_databases()?;
        let (tasks, roles) = (view.list_all_tasks()?, view.list_database_roles(made.id)?);
        let (targets, back) = (view.list_backup_targets()?, view.find_recovery()?);
        Ok((lost, tasks, roles, targets, back))
    });
    let (lost, tasks, roles, targets, back) = read.await.unwrap();
    assert!(tasks.is_empty() && roles.is_empty(), "{tasks:?} {roles:?}");
    assert_eq!(targets[0].state, TargetState::Waiting);
    assert_eq!(back.unwrap().owner, recovery('a').owner);
    let roles: Vec<String> = lost[0].roles.iter().map(ToString::to_string).collect();
    assert_eq!((lost.len(), roles), (1, vec!["api_a".to_owned()]));
    let story = world.story().await;
    assert!(story.iter().any(|line| line.starts_with("Havre came back as it was at ")), "{story:#?}");
}

#[tokio::test]
async fn a_lost_database_comes_back_under_its_name_in_a_new_volume() {
    let world = World::new();
    let made = database(&world).await;
    let taken = new(made.environment, &made);
    let error = world.try_write(50, move |tx| tx.create_restore(&taken)).await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
    settle(&world, 100).await;
    let restore = put_back(&world, &made).await;
    let (row, is_lost) = now(&world).await.unwrap();
    assert_eq!((row.id, is_lost), (restore.database, false), "it may start: its backup goes into it");
    assert_ne!(row.id, made.id, "its volume is another one");
    assert_eq!(row.spec.backup, made.spec.backup);
    let again = new(made.environment, &made);
    let error = world.try_write(210, move |tx| tx.create_restore(&again)).await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
    end(&world, restore.id, State::Ready { at: at(300), findings: Findings::default() }).await;
    assert!(world.store.read(|view| view.list_lost_databases()).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_that_does_not_come_back_is_lost_still() {
    let world = World::new();
    let made = database(&world).await;
    settle(&world, 100).await;
    let restore = put_back(&world, &made).await;
    let reason = Failure::Loader { reason: "pg_restore ended with code 1".to_owned() };
    end(&world, restore.id, State::Failed { at: at(300), stage: Stage::Loading, reason }).await;
    let (row, is_lost) = now(&world).await.unwrap();
    assert!(row.state.is_destroying() && is_lost);
    world.write(310, move |tx| tx.remove_database(row.id)).await;
    let (row, is_lost) = now(&world).await.unwrap();
    assert_eq!((row.state.name(), row.spec, is_lost), ("stopped", made.spec, true));
    assert_ne!(row.id, restore.database);
}

#[tokio::test]
async fn one_that_is_given_up_goes() {
    let world = World::new();
    let made = database(&world).await;
    settle(&world, 100).await;
    world.write(110, move |tx| tx.request_database_destroy(made.id, at(110))).await;
    world.write(120, move |tx| tx.remove_database(made.id)).await;
    assert!(now(&world).await.is_none());
    assert!(world.store.read(|view| view.list_lost_databases()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_under_way_is_over() {
    let world = World::new();
    let made = database(&world).await;
    let spec = serde_json::json!({"name": "db-restored-1", "engine": "postgres", "version": 15, "memory": "512MB", "cpus": "1"});
    let other = NewRestore { spec: serde_json::from_value(spec).unwrap(), ..new(made.environment, &made) };
    let restore = world.write(10, move |tx| tx.create_restore(&other)).await;
    settle(&world, 100).await;
    let id = restore.id;
    let restore = world.store.read(move |view| view.get_restore(id)).await.unwrap();
    assert_eq!(restore.state.name(), "failed");
    let databases = world.store.read(|view| view.list_databases()).await.unwrap();
    let states: Vec<&str> = databases.iter().map(|row| row.state.name()).collect();
    assert_eq!(states, ["stopped", "destroying"]);
}

#[tokio::test]
async fn a_file_is_read_before_it_is_believed() {
    let world = World::new();
    database(&world).await;
    let copy = world.folder.path().join("copy");
    world.store.copy_to(copy.clone()).await.unwrap();
    check_file(&copy).unwrap();
    drop(Store::open(options(copy.clone())).unwrap());
    settle_file(&copy).unwrap();
    for beside in ["copy-wal", "copy-shm", "copy-journal"] {
        assert!(!world.folder.path().join(beside).exists(), "{beside}");
    }
    check_file(&copy).unwrap();
    // Whatever lies there, it is not what a page of SQLite looks like.
    let mut file = std::fs::OpenOptions::new().write(true).open(&copy).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length / 2)).unwrap();
    file.write_all(&vec![0xAB; usize::try_from(length / 4).unwrap()]).unwrap();
    drop(file);
    assert!(check_file(&copy).is_err());
}
