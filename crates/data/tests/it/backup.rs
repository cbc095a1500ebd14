//! The loop of backups on fakes and a clock driven by hand: what has a policy is saved, what fails is tried again, what is kept is kept, and
//! a disk that is not there is never taken for an empty one.

use std::time::Duration;

use havre_backup::Repository as _;
use havre_backup::fake::FakeRepository;
use havre_core::backup::What;
use havre_core::backup::run::{BackupRun, RunFilter};
use havre_core::backup::state::{Failure, State};
use havre_core::backup::target::{BackupTarget, TargetSpec};
use havre_core::event::Actor;
use havre_core::name::TargetName;
use havre_core::quantity::Span;
use havre_data::backup;
use havre_engine::fake::script::{Program, Script};
use serde_json::json;

use crate::database;
use crate::world::{Control, Outside};

const PLACE: &str = "/mnt/disk";
const TASK: &str = "havre-m1-1-db-production-dropit";
/// What `psql` says in a session.
const SESSION: &str = "0\n{\"version\" : \"16.14 (Debian)\", \"snapshot\" : \"00000003-00000008-1\"}\n\
    {\"table\" : \"public.users\", \"rows\" : 2}\n{\"counted\" : true}\n";

fn disk() -> TargetName {
    "disk".parse().unwrap()
}

fn db() -> What {
    "database/dropit/production/db".parse().unwrap()
}

fn server() -> Script {
    let programs = [
        ("pg_isready", Program::prints("", 0)),
        ("psql", Program::prints(SESSION, 0)),
        ("pg_dump", Program::prints("PGDMP and all the data", 0)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// A database with a policy that keeps its newest backup, ready, and a target.
pub(crate) async fn prepare(control: &Control) {
    database::add_postgres(&control.outside, server());
    database::apply(control, json!({"backup": {"every": "1d", "keep": {"last": 1}}})).await;
    database::rounds(control).await;
    set_target(control).await;
}

pub(crate) async fn set_target(control: &Control) {
    let spec: TargetSpec = serde_json::from_value(json!({
        "name": "disk", "location": {"kind": "folder", "path": PLACE}, "medium": "two", "is_offsite": false,
    }))
    .unwrap();
    let write = control
        .world
        .store
        .write(control.world.now(), Actor::Local, move |tx| tx.set_backup_target(&spec, None).map(drop));
    write.await.unwrap();
}

/// Rounds of the loop until nothing changes.
pub(crate) async fn rounds(control: &Control) {
    let seen = async || control.world.store.read(|view| view.last_event()).await.unwrap();
    for _ in 0..60 {
        let before = seen().await;
        backup::activate(&control.world).await.unwrap();
        control.background().await;
        if before == seen().await {
            return;
        }
    }
    panic!("the backups do not come to rest: {:?}", runs(control).await);
}

pub(crate) async fn later(control: &Control, seconds: u64) {
    control.outside.clock.advance(Span::seconds(seconds).duration());
    rounds(control).await;
}

/// Every run, newest first.
pub(crate) async fn runs(control: &Control) -> Vec<BackupRun> {
    let filter = RunFilter::default();
    control.world.store.read(move |view| view.list_backup_runs(&filter, 100)).await.unwrap()
}

/// Those of the database.
async fn of_db(control: &Control) -> Vec<BackupRun> {
    let mut found = runs(control).await;
    found.retain(|run| run.what == db());
    found
}

async fn target(control: &Control) -> BackupTarget {
    control.world.store.read(|view| view.get_backup_target(&disk())).await.unwrap()
}

fn states(runs: &[BackupRun]) -> Vec<&'static str> {
    runs.iter().map(|run| run.shown_state().as_str()).collect()
}

fn failure(run: &BackupRun) -> String {
    match &run.state {
        State::Failed { stage, reason, .. } => format!("{stage}: {reason}"),
        other => panic!("it has not failed: {other:?}"),
    }
}

async fn story(control: &Control, with: &str) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).filter(|text| text.contains(with)).collect()
}

/// The repository, opened with its password.
pub(crate) async fn repository(control: &Control) -> FakeRepository {
    let opened = control.world.store.read(|view| view.open_backup_target(&disk())).await.unwrap();
    control.outside.places.at(PLACE).with_password(opened.password.expose_text().unwrap())
}

fn program(control: &Control, word: &str, text: &str, code: i64) {
    control.outside.engine.set_program(TASK, word, Program::prints(text, code));
}

#[tokio::test]
async fn what_has_a_policy_is_saved_with_its_numbers() {
    let control = Outside::new().control();
    std::fs::write(control.outside.path("havred.toml"), "[control]\n").unwrap();
    prepare(&control).await;
    rounds(&control).await;
    let runs = runs(&control).await;
    assert_eq!(states(&runs), ["good", "good"], "{runs:?}");
    let of_db = runs.iter().find(|run| run.what == db()).unwrap();
    let manifest = of_db.manifest.as_ref().unwrap();
    assert_eq!(manifest.source_version, "PostgreSQL 16.14");
    assert_eq!(
        manifest.rows.iter().map(|(table, rows)| (table.as_str(), *rows)).collect::<Vec<_>>(),
        [("public.users", 2)]
    );
    assert_eq!(of_db.progress.produced_bytes, 22);
    let listed = repository(&control).await.list().await.unwrap();
    assert_eq!(listed.len(), 2);
    let snapshot = listed.iter().find(|one| one.id == manifest.snapshot).unwrap();
    assert_eq!((snapshot.name.as_str(), snapshot.at), ("dropit-production-db.dump", of_db.begun_at.unwrap()));
    let tags: Vec<&str> = snapshot.tags.iter().map(|tag| tag.as_str()).collect();
    let tag = format!("run/{}", of_db.id);
    assert_eq!(tags, ["database/dropit/production/db", tag.as_str()]);
    let left = std::fs::read_dir(control.outside.path("backup")).unwrap().count();
    assert_eq!(left, 0, "no copy of the store is left");
    // Nothing is due for a while.
    later(&control, 60).await;
    assert_eq!(self::runs(&control).await.len(), 2);
    later(&control, 3600).await;
    assert_eq!(states(&self::runs(&control).await), ["good", "good", "good"]);
}

#[tokio::test]
async fn a_producer_that_fails_is_no_backup_and_is_tried_again() {
    let control = Outside::new().control();
    prepare(&control).await;
    program(&control, "pg_dump", "PGDMP and half of the data", 1);
    rounds(&control).await;
    let runs = of_db(&control).await;
    assert_eq!(states(&runs), ["failed"]);
    assert_eq!(
        failure(&runs[0]),
        "dumping: what should be saved could not be read: pg_dump ended with code 1 and said nothing"
    );
    // A stream that is none of its producer, and none at all.
    program(&control, "pg_dump", "hello", 0);
    later(&control, 61).await;
    assert!(failure(&of_db(&control).await[0]).contains("what came is not what such a producer writes"));
    program(&control, "pg_dump", "", 0);
    later(&control, 60).await;
    assert_eq!(of_db(&control).await.len(), 2, "the pause is longer now");
    later(&control, 61).await;
    assert!(failure(&of_db(&control).await[0]).contains("there was nothing to save"));
    program(&control, "psql", "0\n", 2);
    later(&control, 241).await;
    assert!(failure(&of_db(&control).await[0]).contains("psql ended with code 2"));
    assert_eq!(repository(&control).await.list().await.unwrap().len(), 1, "only the platform is there");
    program(&control, "psql", SESSION, 0);
    program(&control, "pg_dump", "PGDMP", 0);
    later(&control, 481).await;
    assert_eq!(states(&of_db(&control).await)[0], "good");
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_said_and_no_repository_is_made_on_its_mount_point() {
    let control = Outside::new().control();
    prepare(&control).await;
    rounds(&control).await;
    let before = control.outside.places.unplug(PLACE);
    // Control starts again, and knows only what the rows say.
    let Control { world, outside } = control;
    drop(world);
    let control = outside.control();
    later(&control, 3600).await;
    let last = runs(&control).await.remove(0);
    assert!(failure(&last).ends_with("is this the right place, and its disk mounted?"), "{last:?}");
    assert_eq!(target(&control).await.state.name(), "failed");
    let count = runs(&control).await.len();
    for _ in 0..5 {
        later(&control, 3600).await;
    }
    assert_eq!(runs(&control).await.len(), count, "no row for each try");
    assert!(outside.places.at(PLACE).open().await.is_err(), "nothing was made");
    assert!(!story(&control, "backup of platform in disk: the newest copy is of").await.is_empty());

    outside.places.put(PLACE, before);
    later(&control, 61).await;
    assert_eq!(target(&control).await.state.name(), "ready");
    assert_eq!(states(&runs(&control).await)[0], "good");
    assert_eq!(
        story(&control, "backup of platform in disk: ").await.last().map(String::as_str),
        Some("backup of platform in disk: what is promised is there again")
    );
}

#[tokio::test]
async fn another_repository_is_refused() {
    let control = Outside::new().control();
    set_target(&control).await;
    let other = "e".repeat(64).parse().unwrap();
    let write = control
        .world
        .store
        .write(control.world.now(), Actor::Havre, move |tx| tx.record_repository(&disk(), &other));
    write.await.unwrap();
    let opened = control.world.store.read(|view| view.open_backup_target(&disk())).await.unwrap();
    let there = control.outside.places.at(PLACE).with_password(opened.password.expose_text().unwrap());
    there.init().await.unwrap();
    rounds(&control).await;
    let last = runs(&control).await.remove(0);
    assert!(failure(&last).contains("was found there"), "{last:?}");
    assert!(there.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn older_snapshots_go_as_the_policy_says() {
    let control = Outside::new().control();
    prepare(&control).await;
    rounds(&control).await;
    let first = of_db(&control).await.remove(0);
    program(&control, "pg_dump", "PGDMP and more data", 0);
    later(&control, 86_400).await;
    let runs = of_db(&control).await;
    assert_eq!(states(&runs), ["good", "good"]);
    assert!(runs[0].forgotten_at.is_none() && runs[1].forgotten_at.is_some(), "{runs:?}");
    let listed = repository(&control).await.list().await.unwrap();
    let gone = first.snapshot.unwrap();
    assert!(listed.iter().all(|one| one.id != gone));
    let pruned = control.world.store.read(|view| view.find_backup_prune(&disk())).await.unwrap();
    assert!(pruned.is_some(), "a day after the target was set");
}

#[tokio::test]
async fn a_good_one_that_somebody_has_removed_is_good_no_longer() {
    let control = Outside::new().control();
    prepare(&control).await;
    rounds(&control).await;
    let first = of_db(&control).await.remove(0);
    repository(&control).await.forget(&[first.snapshot.clone().unwrap()]).await.unwrap();
    later(&control, 86_400).await;
    let runs = of_db(&control).await;
    let State::Failed { reason, .. } = &runs.iter().find(|run| run.id == first.id).unwrap().state else {
        panic!("it is still good: {runs:?}")
    };
    assert_eq!(*reason, Failure::Gone);
}

#[tokio::test]
async fn damage_costs_one_run_and_what_is_not_whole_is_good_no_longer() {
    let control = Outside::new().control();
    prepare(&control).await;
    rounds(&control).await;
    let first = of_db(&control).await.remove(0);
    let repository = repository(&control).await;
    repository.damage(first.snapshot.as_ref().unwrap());
    repository.rot();
    later(&control, 24 * 3600).await;
    later(&control, 3600).await;
    let runs = runs(&control).await;
    let met = |run: &&BackupRun| format!("{:?}", run.state).contains("a file is shorter than it was");
    assert_eq!(runs.iter().filter(met).count(), 1, "{runs:?}");
    assert_eq!(states(&of_db(&control).await[..1]), ["good"], "{runs:?}");
    let first = runs.iter().find(|run| run.id == first.id).unwrap();
    assert!(failure(first).contains("or part of it, is not in the repository any more"), "{runs:?}");
}

#[tokio::test]
async fn what_was_asked_for_runs_although_nothing_is_due() {
    let control = Outside::new().control();
    prepare(&control).await;
    rounds(&control).await;
    let asked = control
        .world
        .store
        .write(control.world.now(), Actor::Local, |tx| tx.create_backup_run(&db(), &disk()))
        .await
        .unwrap();
    rounds(&control).await;
    let found = of_db(&control).await.remove(0);
    assert_eq!((found.id, found.shown_state().as_str()), (asked.id, "good"));
    // One that is cancelled before its turn never begins.
    let cancelled = control.world.store.write(control.world.now(), Actor::Local, |tx| {
        let run = tx.create_backup_run(&db(), &disk())?;
        tx.request_backup_cancel(run.id).map(|()| run.id)
    });
    let cancelled = cancelled.await.unwrap();
    rounds(&control).await;
    let found = of_db(&control).await.remove(0);
    assert_eq!((found.id, found.begun_at), (cancelled, None));
    assert_eq!(failure(&found), "dumping: it was cancelled");
}

#[tokio::test]
async fn one_that_is_cancelled_on_its_way_ends_and_holds_nothing() {
    let control = Outside::new().control();
    prepare(&control).await;
    // Gives no end: its output goes on as long as its input does, and that is closed only with the session.
    let hangs = Program { output: Vec::new(), echoes: true, reads: false, code: 0 };
    control.outside.engine.set_program(TASK, "psql", hangs);
    backup::activate(&control.world).await.unwrap();
    for _ in 0..200 {
        backup::activate(&control.world).await.unwrap();
        if of_db(&control).await.first().is_some_and(|run| run.begun_at.is_some()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let run = of_db(&control).await.remove(0);
    assert_eq!(run.shown_state().as_str(), "dumping");
    let write = control
        .world
        .store
        .write(control.world.now(), Actor::Local, move |tx| tx.request_backup_cancel(run.id));
    write.await.unwrap();
    rounds(&control).await;
    let found = of_db(&control).await.remove(0);
    assert_eq!(failure(&found), "dumping: it was cancelled");
    program(&control, "psql", SESSION, 0);
    // Nobody wants it back at once.
    later(&control, 120).await;
    assert_eq!(of_db(&control).await.len(), 1);
    later(&control, 3600).await;
    assert_eq!(states(&of_db(&control).await)[0], "good");
}
