//! Restores on fakes: a snapshot becomes a new database, nothing is ever written into one that is there, and whatever is not as it was saved
//! leaves none.

use havre_backup::Repository as _;
use havre_backup::fake::FakeRepository;
use havre_core::backup::What;
use havre_core::backup::manifest::Manifest;
use havre_core::event::Actor;
use havre_core::id::RestoreId;
use havre_data::restore;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::{Program, Script};
use havre_rescue::proof::{Progress, Stage};
use havre_rescue::restore::{Restore, State, derive_spec};
use havre_store::NewRestore;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{Control, Outside};
use crate::{backup, database};

pub(crate) const PLACE: &str = "/mnt/disk";

pub(crate) fn db() -> What {
    "database/dropit/production/db".parse().unwrap()
}

/// A server that has this many rows in its one table, takes every dump, and finds everything true.
pub(crate) fn server(rows: u64) -> Script {
    let session = format!(
        "0\n{{\"version\" : \"16.14 (Debian)\", \"snapshot\" : \"00000003-00000008-1\"}}\n\
         {{\"table\" : \"public.users\", \"rows\" : {rows}}}\n{{\"counted\" : true}}\n"
    );
    let programs = [
        ("pg_isready", Program::prints("", 0)),
        ("psql --command", Program::prints("t\n", 0)),
        ("psql", Program::prints(&session, 0)),
        ("pg_dump", Program::prints("PGDMP and all the data", 0)),
        ("pg_restore", Program::prints("", 0)),
        ("pg_amcheck", Program::prints("", 0)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// The same, with another program.
pub(crate) fn with(mut script: Script, word: &str, program: Program) -> Script {
    for (name, found) in &mut script.programs {
        if *name == word {
            *found = program.clone();
        }
    }
    script
}

/// A database with two rows and this policy, and a good backup of it. Servers that start from now on are like `next`.
pub(crate) async fn saved(control: &Control, policy: serde_json::Value, next: Script) {
    database::add_postgres(&control.outside, server(2));
    database::apply(control, json!({ "backup": policy })).await;
    database::rounds(control).await;
    backup::set_target(control).await;
    backup::rounds(control).await;
    let points = control.world.store.read(|view| view.list_points(&db())).await.unwrap();
    assert_eq!(points.len(), 1, "{points:?}");
    database::add_postgres(&control.outside, next);
}

/// Asks for a restore of the newest backup; the manifest may be another one.
async fn ask(control: &Control, change: impl FnOnce(&mut Manifest) + Send + 'static) -> RestoreId {
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let mut point = tx.list_points(&db())?.remove(0);
        let source = tx.list_databases()?.remove(0);
        let name = "db-restored-1".parse().unwrap();
        let spec = derive_spec(Some(&source.spec), &point.manifest.source_version, &name).unwrap();
        change(&mut point.manifest);
        let restore = tx.create_restore(&NewRestore {
            environment: source.environment,
            source: source.spec.name,
            spec,
            target: point.target,
            manifest: point.manifest,
            recovery: None,
        })?;
        Ok(restore.id)
    });
    write.await.unwrap()
}

/// Rounds of the loops until nothing changes.
pub(crate) async fn rounds(control: &Control) {
    let stop = CancellationToken::new();
    let seen = async || control.world.store.read(|view| view.last_event()).await.unwrap();
    for _ in 0..60 {
        let before = seen().await;
        database::rounds(control).await;
        restore::activate(&control.world, &stop).await.unwrap();
        control.background().await;
        if before == seen().await {
            return;
        }
    }
    panic!("the restores do not come to rest: {:?}", control.outside.engine.done());
}

async fn get(control: &Control, id: RestoreId) -> Restore {
    control.world.store.read(move |view| view.get_restore(id)).await.unwrap()
}

async fn databases(control: &Control) -> Vec<String> {
    let rows = control.world.store.read(|view| view.list_databases()).await.unwrap();
    rows.iter().map(|row| format!("{} {}", row.spec.name, row.shown_state())).collect()
}

/// Why it failed, once nothing of its database is left.
async fn failure(control: &Control, id: RestoreId) -> String {
    rounds(control).await;
    assert_eq!(databases(control).await, ["db ready"], "the one that was saved is not touched");
    assert_eq!(control.outside.engine.volume_names(), ["havre-m1-data"]);
    match get(control, id).await.state {
        State::Failed { stage, reason, .. } => format!("{stage}: {reason}"),
        other => panic!("it has not failed: {other:?}"),
    }
}

fn daily() -> serde_json::Value {
    json!({ "every": "1d", "keep": { "last": 5 } })
}

#[tokio::test]
async fn a_snapshot_becomes_a_new_database_beside_the_old_one() {
    let control = Outside::new().control();
    saved(&control, daily(), server(2)).await;
    let id = ask(&control, |_| ()).await;
    rounds(&control).await;
    let restore = get(&control, id).await;
    assert_eq!(restore.state.name(), "ready", "{:?}", restore.state);
    let State::Ready { findings, .. } = restore.state else { panic!("it is ready") };
    assert_eq!(findings.rows["public.users"], 2);
    assert_eq!(databases(&control).await, ["db ready", "db-restored-1 ready"]);
    assert_eq!(control.outside.engine.volume_names(), ["havre-m1-data", "havre-m2-data"]);
    assert!(control.outside.engine.volume_overlaps().is_empty());
    let row = control.world.store.read(|view| view.list_databases()).await.unwrap().remove(1);
    assert_eq!(row.spec.backup, None, "nobody has asked for backups of it");
}

#[tokio::test]
async fn rows_that_are_missing_are_seen() {
    let control = Outside::new().control();
    saved(&control, daily(), server(1)).await;
    let id = ask(&control, |_| ()).await;
    assert_eq!(
        failure(&control, id).await,
        "checking: 1 tables are not as they were saved: public.users had 2 rows and has 1"
    );
}

#[tokio::test]
async fn bytes_that_are_not_those_that_were_saved_are_seen() {
    let control = Outside::new().control();
    saved(&control, daily(), server(2)).await;
    let id = ask(&control, |manifest| manifest.content.bytes += 1).await;
    let said = failure(&control, id).await;
    assert!(said.starts_with("loading: the manifest says 23 bytes"), "{said}");
    let repository = backup::repository(&control).await;
    repository.damage(&get(&control, id).await.manifest.snapshot);
    let id = ask(&control, |_| ()).await;
    let said = failure(&control, id).await;
    assert!(said.starts_with("loading: the repository failed: "), "{said}");
    // Somebody has put another repository in its place.
    let id = ask(&control, |manifest| manifest.repository = "e".repeat(64).parse().unwrap()).await;
    let said = failure(&control, id).await;
    assert!(said.contains("another repository lies there"), "{said}");
}

#[tokio::test]
async fn a_loader_that_fails_says_why() {
    let control = Outside::new().control();
    let refused = Program::prints("", 1);
    saved(&control, daily(), with(server(2), "pg_restore", refused)).await;
    let id = ask(&control, |_| ()).await;
    assert_eq!(
        failure(&control, id).await,
        "loading: the snapshot could not be loaded: pg_restore ended with code 1 and said nothing"
    );
}

#[tokio::test]
async fn a_wrong_key_opens_nothing() {
    let control = Outside::new().control();
    saved(&control, daily(), server(2)).await;
    let other = FakeRepository::default().with_password("another one");
    other.init().await.unwrap();
    control.outside.places.put(PLACE, other);
    // Control starts again, and knows only what the rows say.
    let Control { world, outside } = control;
    drop(world);
    let control = outside.control();
    let id = ask(&control, |_| ()).await;
    let said = failure(&control, id).await;
    assert!(said.contains("the password does not open the repository"), "{said}");
}

#[tokio::test]
async fn a_load_that_was_cut_off_is_not_believed() {
    let outside = Outside::new();
    let control = outside.control();
    saved(&control, daily(), server(2)).await;
    let id = ask(&control, |_| ()).await;
    database::rounds(&control).await;
    let restore = get(&control, id).await;
    let loading = State::Working { progress: Progress::Loading { since: control.world.now() } };
    let write = control.world.store.write(control.world.now(), Actor::Havre, move |tx| {
        tx.set_restore_state(id, &restore.state, &loading)
    });
    write.await.unwrap();
    drop(control);
    let control = outside.control();
    assert_eq!(failure(&control, id).await, "loading: Havre ended while it ran");
    let State::Failed { stage, .. } = get(&control, id).await.state else { panic!("it has failed") };
    assert_eq!(stage, Stage::Loading);
}

#[tokio::test]
async fn a_new_database_that_somebody_destroys_ends_its_restore() {
    let control = Outside::new().control();
    saved(&control, daily(), server(2)).await;
    let id = ask(&control, |_| ()).await;
    let restore = get(&control, id).await;
    let now = control.world.now();
    let destroy = control
        .world
        .store
        .write(now, Actor::Local, move |tx| tx.request_database_destroy(restore.database, now));
    destroy.await.unwrap();
    let said = failure(&control, id).await;
    assert!(said.contains("somebody has destroyed it meanwhile"), "{said}");
}

#[tokio::test]
async fn a_server_that_cannot_be_had_ends_the_restore() {
    let control = Outside::new().control();
    saved(&control, daily(), Script::cannot_start("no such program")).await;
    let before = control.outside.engine.count(Operation::ResolveImage);
    let id = ask(&control, |_| ()).await;
    let said = failure(&control, id).await;
    assert!(said.starts_with("preparing: no server came up to restore into"), "{said}");
    assert!(control.outside.engine.count(Operation::ResolveImage) > before);
}
