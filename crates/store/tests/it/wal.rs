//! WAL: what repositories have of it, which base backups are due, what is told, and a new database that waits for its files.

use havre_core::backup::manifest::Manifest;
use havre_core::backup::run::Progress;
use havre_core::backup::state::{About, State};
use havre_core::backup::target::TargetSpec;
use havre_core::backup::{Content, What};
use havre_core::database::spec::DatabaseSpec;
use havre_core::database::state::State as Server;
use havre_core::id::DatabaseId;
use havre_core::name::TargetName;
use havre_rescue::line::{BaseFacts, Recovery};
use havre_rescue::plan::Duty;
use havre_rescue::proof::{Failure, Findings, Progress as Part, Stage, Structure};
use havre_rescue::restore::State as RestoreState;
use havre_rescue::spool::Trouble;
use havre_rescue::wal::{Lsn, SEGMENT_BYTES, Segment};
use havre_store::{NewRestore, NewStretch, StoreError};

use crate::world::{World, at, environment};

fn disk() -> TargetName {
    "disk".parse().unwrap()
}

pub(crate) fn db() -> What {
    "database/dropit/production/db".parse().unwrap()
}

fn base() -> What {
    "base/dropit/production/db".parse().unwrap()
}

fn content() -> Content {
    Content { bytes: 10, sha256: "a".repeat(64).parse().unwrap() }
}

fn spec(name: &str) -> DatabaseSpec {
    serde_json::from_value(serde_json::json!({
        "name": name, "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "last": 1 }, "point_in_time": "7d" },
    }))
    .unwrap()
}

/// A target, and a database that answers and hands its WAL out.
pub(crate) async fn world() -> (World, DatabaseId) {
    let world = World::new();
    let target: TargetSpec = serde_json::from_value(serde_json::json!({
        "name": "disk", "location": { "kind": "folder", "path": "/mnt/disk" }, "medium": "two", "is_offsite": false,
    }))
    .unwrap();
    let id = world
        .write(0, move |tx| {
            tx.set_backup_target(&target, None)?;
            let environment = environment(tx)?;
            let (database, _) = tx.apply_database(environment, &spec("db"))?;
            tx.set_database_state(database.id, &database.state, Server::Ready { since: at(0) })?;
            Ok(database.id)
        })
        .await;
    (world, id)
}

fn manifest(digit: char, seconds: i64) -> Manifest {
    let about = About {
        what: base(),
        source_version: "PostgreSQL 16.14".to_owned(),
        rows: Default::default(),
        repository: "b".repeat(64).parse().unwrap(),
        started_at: at(seconds),
    };
    Manifest::new(&about, &content(), &digit.to_string().repeat(64).parse().unwrap(), at(seconds))
}

/// A good base backup that begins in this segment.
pub(crate) async fn save(world: &World, database: DatabaseId, number: u64, seconds: i64) {
    let facts = BaseFacts {
        timeline: 1,
        start: Lsn(number * SEGMENT_BYTES + 40),
        stop: Lsn(number * SEGMENT_BYTES + 300),
    };
    world
        .write(seconds, move |tx| {
            let run = tx.create_backup_run(&base(), &disk())?;
            let run = tx.begin_backup_run(run.id)?;
            tx.record_base_backup(run.id, database, facts)?;
            let good = State::Good { at: at(seconds), manifest: Box::new(manifest('1', seconds)) };
            tx.record_backup_state(run.id, &run.state, &good, Progress::default())
        })
        .await;
}

pub(crate) fn stretch(database: DatabaseId, first: u64, last: u64, replaces: Option<i64>) -> NewStretch {
    NewStretch {
        what: db(),
        database,
        target: disk(),
        first: Segment { timeline: 1, number: first },
        last,
        until: Some(at(i64::try_from(last).unwrap() * 60)),
        snapshot: format!("{last:064x}").parse().unwrap(),
        content: content(),
        replaces,
    }
}

async fn duty(world: &World) -> Duty {
    let duties = world.store.read(|view| view.list_backup_duties()).await.unwrap();
    duties.into_iter().find(|duty| duty.what == base()).expect("is one")
}

#[tokio::test]
async fn what_was_stored_again_takes_the_place_of_what_was_there() {
    let (world, id) = world().await;
    world.write(1, move |tx| tx.record_stretch(&stretch(id, 2, 5, None))).await;
    let seen = |from| world.store.read(move |view| view.list_spooled_stretches(id, &disk(), from));
    let first = seen(4).await.unwrap();
    assert_eq!((first.len(), first[0].first.number, first[0].last, first[0].count()), (1, 2, 5, 4));
    assert_eq!(seen(900).await.unwrap(), first, "the newest is always there");
    let before = first[0].id;
    world.write(2, move |tx| tx.record_stretch(&stretch(id, 2, 7, Some(before)))).await;
    let all = world.store.read(|view| view.list_stretches(&db(), 0)).await.unwrap();
    assert_eq!(all.iter().map(|one| (one.first.number, one.last)).collect::<Vec<_>>(), [(2, 7)]);
    let until = world.store.read(move |view| view.find_wal_until(id, &disk())).await.unwrap();
    assert_eq!(until, Some(at(420)));
    let gone = world.store.read(|view| view.list_let_go_stretches(&disk(), 10)).await.unwrap();
    assert_eq!(gone, [(before, first[0].snapshot.clone())]);
    world.write(3, move |tx| tx.remove_stretches(&[before, before + 1])).await;
    assert!(world.store.read(|view| view.list_let_go_stretches(&disk(), 10)).await.unwrap().is_empty());
    assert_eq!(world.store.read(|view| view.list_stretches(&db(), 0)).await.unwrap(), all, "it is of use");
    world.write(4, |tx| tx.remove_backup_target(&disk(), true)).await;
    assert!(world.store.read(|view| view.list_stretches(&db(), 0)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_base_backup_is_due_again_when_there_is_a_gap_behind_it() {
    let (world, id) = world().await;
    assert_eq!(duty(&world).await.good_at, None);
    save(&world, id, 3, 100).await;
    assert_eq!(duty(&world).await.good_at, Some(at(100)));
    world.write(200, move |tx| tx.record_stretch(&stretch(id, 2, 5, None))).await;
    assert_eq!(duty(&world).await.good_at, Some(at(100)));
    world.write(300, move |tx| tx.record_stretch(&stretch(id, 7, 8, None))).await;
    assert_eq!(duty(&world).await.good_at, None);
    save(&world, id, 8, 400).await;
    assert_eq!(duty(&world).await.good_at, Some(at(400)));
    let bases = world.store.read(|view| view.list_bases(&base())).await.unwrap();
    assert_eq!(
        bases.iter().map(|one| (one.facts.timeline, one.whole_at)).collect::<Vec<_>>(),
        [(1, at(400)), (1, at(100))]
    );
    let window = world.store.read(|view| view.find_base_window(&base())).await.unwrap();
    assert_eq!(window.map(|window| window.to_string()).as_deref(), Some("7d"));
    assert_eq!(world.store.read(|view| view.find_base_window(&db())).await.unwrap(), None);
}

#[tokio::test]
async fn a_base_backup_of_another_database_that_had_the_name_is_none_of_this_one() {
    let (world, id) = world().await;
    save(&world, DatabaseId::new(99), 3, 100).await;
    assert_eq!(duty(&world).await.good_at, None);
    save(&world, id, 3, 200).await;
    assert_eq!(duty(&world).await.good_at, Some(at(200)));
}

#[tokio::test]
async fn trouble_is_told_when_it_is_another_one() {
    let (world, id) = world().await;
    let lost = || Some(Trouble::Lost { count: 1 });
    let fills = |bytes| Some(Trouble::Fills { bytes });
    for trouble in [None, fills(1), fills(2), lost(), fills(3), lost(), None, None] {
        world.write(1, move |tx| tx.record_wal_spool(&db(), id, 7, trouble.as_ref())).await;
    }
    let story = world.story().await;
    let told: Vec<&str> =
        story.iter().filter_map(|text| text.strip_prefix("WAL of database dropit/production/db")).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].starts_with(": 1B of 4GB wait") && told[1].starts_with(": 1 segments were removed"),
        "{told:?}"
    );
    assert_eq!(told[2], " is where it should be again");
    assert_eq!(world.store.read(move |view| view.find_wal_trouble(id)).await.unwrap(), None);
}

#[tokio::test]
async fn a_database_waits_for_its_files_and_then_starts() {
    let (world, _) = world().await;
    let recovery = Recovery { at: at(90), source: "db".parse().unwrap(), stretches: Vec::new() };
    let wanted = recovery.clone();
    let create = move |tx: &mut havre_store::Tx<'_>| {
        let environment = environment(tx)?;
        let new = NewRestore {
            environment,
            source: "db".parse().unwrap(),
            spec: DatabaseSpec { backup: None, ..spec("db-restored-1") },
            target: disk(),
            manifest: manifest('1', 60),
            recovery: Some(recovery),
        };
        tx.create_restore(&new)
    };
    let restore = world.write(100, create).await;
    assert_eq!((restore.recovery.as_ref(), restore.at()), (Some(&wanted), at(90)));
    let (id, database) = (restore.id, restore.database);
    let is_held = || world.store.read(move |view| view.is_volume_held(database));
    assert!(is_held().await.unwrap());
    let loading = RestoreState::Working { progress: Part::Loading { since: at(200) } };
    let progress =
        Part::Checking { since: at(5000), loaded: content(), keys: None, files: Structure::NotAsked };
    let checking = RestoreState::Working { progress };
    let (from, to) = (restore.state.clone(), loading.clone());
    world.write(200, move |tx| tx.set_restore_state(id, &from, &to)).await;
    assert!(is_held().await.unwrap());
    let to = checking.clone();
    world.write(5000, move |tx| tx.set_restore_state(id, &loading, &to)).await;
    assert!(!is_held().await.unwrap());
    let row = world.store.read(move |view| view.get_database(database)).await.unwrap();
    assert_eq!(row.state, Server::Starting { since: at(5000), failures: 0 }, "its time to answer begins now");
    let ready = RestoreState::Ready { at: at(5001), findings: Findings::default() };
    world.write(5001, move |tx| tx.set_restore_state(id, &checking, &ready)).await;
    let found = world.store.read(|view| view.list_restores(&db().key(), 10)).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [id], "it is one of the database");
}

#[tokio::test]
async fn a_restore_that_fails_holds_no_volume() {
    let (world, _) = world().await;
    let create = |tx: &mut havre_store::Tx<'_>| -> Result<_, StoreError> {
        let environment = environment(tx)?;
        tx.create_restore(&NewRestore {
            environment,
            source: "db".parse().unwrap(),
            spec: DatabaseSpec { backup: None, ..spec("db-restored-1") },
            target: disk(),
            manifest: manifest('1', 60),
            recovery: Some(Recovery { at: at(90), source: "db".parse().unwrap(), stretches: Vec::new() }),
        })
    };
    let restore = world.write(100, create).await;
    let (id, database, from) = (restore.id, restore.database, restore.state);
    let failed = RestoreState::Failed { at: at(101), stage: Stage::Preparing, reason: Failure::Interrupted };
    world.write(101, move |tx| tx.set_restore_state(id, &from, &failed)).await;
    assert!(!world.store.read(move |view| view.is_volume_held(database)).await.unwrap());
    let row = world.store.read(move |view| view.get_database(database)).await.unwrap();
    assert!(row.state.is_destroying());
}
