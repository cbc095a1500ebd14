//! What rows promise of backups: what is due with what came of it before, how old copies are, and alarms that are told once.

use havre_core::backup::What;
use havre_core::backup::age::{Alarm, Change};
use havre_core::backup::manifest::Manifest;
use havre_core::backup::run::Progress;
use havre_core::backup::state::{About, Failure, Stage, State};
use havre_core::backup::target::TargetSpec;
use havre_core::backup::{Content, SnapshotId};
use havre_core::database::spec::DatabaseSpec;
use havre_core::name::TargetName;
use havre_core::quantity::Span;
use havre_rescue::plan::{Duty, Trouble};

use crate::world::{World, at, environment};

fn disk() -> TargetName {
    "disk".parse().unwrap()
}

fn db() -> What {
    "database/dropit/production/db".parse().unwrap()
}

/// A target, and a database with a policy that has not answered yet.
async fn world() -> World {
    let world = World::new();
    let target: TargetSpec = serde_json::from_value(serde_json::json!({
        "name": "disk", "location": { "kind": "folder", "path": "/mnt/disk" }, "medium": "two", "is_offsite": false,
    }))
    .unwrap();
    let database: DatabaseSpec = serde_json::from_value(serde_json::json!({
        "name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1",
        "backup": { "every": "1d", "keep": { "last": 1 } },
    }))
    .unwrap();
    world
        .write(0, move |tx| {
            tx.set_backup_target(&target, None)?;
            let environment = environment(tx)?;
            tx.apply_database(environment, &database).map(|_| ())
        })
        .await;
    world
}

fn good(what: What, seconds: i64) -> State {
    let about = About {
        what,
        source_version: "PostgreSQL 16.14".to_owned(),
        rows: Default::default(),
        repository: "b".repeat(64).parse().unwrap(),
        started_at: at(seconds),
    };
    let content = Content { bytes: 10, sha256: "a".repeat(64).parse().unwrap() };
    let snapshot: SnapshotId = "1".repeat(64).parse().unwrap();
    let manifest = Manifest::new(&about, &content, &snapshot, at(seconds));
    State::Good { at: at(seconds), manifest: Box::new(manifest) }
}

fn failed(seconds: i64, reason: Failure) -> State {
    State::Failed { at: at(seconds), stage: Stage::Dumping, reason }
}

/// A run of the platform that began and ended then.
async fn run(world: &World, seconds: i64, end: State) {
    let begun = world
        .write(seconds, |tx| {
            let id = tx.create_backup_run(&What::Platform, &disk())?.id;
            tx.begin_backup_run(id)
        })
        .await;
    let end = move |tx: &mut havre_store::Tx<'_>| {
        tx.record_backup_state(begun.id, &begun.state, &end, Progress::default())
    };
    world.write(seconds, end).await;
}

async fn duties(world: &World) -> Vec<Duty> {
    world.store.read(|view| view.list_backup_duties()).await.unwrap()
}

async fn alarms(world: &World) -> Vec<(What, TargetName)> {
    world.store.read(|view| view.list_backup_alarms()).await.unwrap()
}

#[tokio::test]
async fn a_database_that_never_answered_is_promised_and_not_due() {
    let world = world().await;
    let duties = duties(&world).await;
    assert_eq!(duties.iter().map(|duty| &duty.what).collect::<Vec<_>>(), [&What::Platform]);
    let promises = world.store.read(|view| view.list_backup_promises()).await.unwrap();
    let promised: Vec<_> = promises.iter().map(|one| (one.what.clone(), one.every, one.since)).collect();
    let hour = Span::seconds(3600);
    assert_eq!(promised, [(What::Platform, hour, at(0)), (db(), Span::seconds(86_400), at(0))]);
    let keep = world.store.read(|view| view.find_backup_keep(&db())).await.unwrap();
    assert_eq!(keep.unwrap().last, 1);
}

#[tokio::test]
async fn the_past_is_read_in_the_order_of_rows() {
    let world = world().await;
    run(&world, 1000, good(What::Platform, 1000)).await;
    run(&world, 2000, failed(2000, Failure::Empty)).await;
    // The clock went back meanwhile.
    run(&world, 500, failed(500, Failure::Cancelled)).await;
    let duty = duties(&world).await.remove(0);
    assert_eq!(duty.good_at, Some(at(1000)));
    assert_eq!(duty.trouble, Some(Trouble { count: 2, at: at(500), is_cancelled: true }));
    run(&world, 600, good(What::Platform, 600)).await;
    let duty = duties(&world).await.remove(0);
    assert_eq!((duty.good_at, duty.trouble), (Some(at(600)), None));
}

#[tokio::test]
async fn an_alarm_is_told_once_and_goes_with_its_target() {
    let world = world().await;
    let alarm = Some(Alarm::Never { every: Span::seconds(3600) });
    let raised = Change { what: What::Platform, target: disk(), alarm };
    let cleared = Change { alarm: None, ..raised.clone() };
    for change in [raised.clone(), raised.clone(), cleared.clone(), cleared, raised] {
        world.write(1, move |tx| tx.record_backup_alarm(&change)).await;
    }
    let story = world.story().await;
    let told: Vec<&str> =
        story.iter().filter(|text| text.starts_with("backup of platform")).map(String::as_str).collect();
    let raised = "backup of platform in disk: there is no copy, and one every 1h is promised";
    assert_eq!(told, [raised, "backup of platform in disk: what is promised is there again", raised]);
    assert_eq!(alarms(&world).await, [(What::Platform, disk())]);
    world.write(2, |tx| tx.record_backup_prune(&disk())).await;
    assert_eq!(world.store.read(|view| view.find_backup_prune(&disk())).await.unwrap(), Some(at(2)));
    world.write(3, |tx| tx.remove_backup_target(&disk(), true)).await;
    assert!(alarms(&world).await.is_empty());
}
