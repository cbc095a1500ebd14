//! What somebody has to look at, out of rows alone; and drills to a second, which are drills of the database as those of dumps are.

use havre_core::time::Timestamp;
use havre_rescue::aim::Pick;
use havre_rescue::drill::{Drill, Method, State, Verdict};
use havre_rescue::proof::{Failure, Stage};
use havre_rescue::report::Report;
use havre_store::{NewDrill, StoreError};

use crate::wal::{db, save, stretch, world};
use crate::world::{World, at};

async fn said(world: &World, seconds: i64) -> Vec<String> {
    let problems = world.store.read(move |view| view.list_backup_problems(at(seconds))).await.unwrap();
    problems.iter().map(ToString::to_string).collect()
}

/// Asks for a drill to the newest second.
async fn drill(world: &World, seconds: i64) -> Result<Drill, StoreError> {
    world
        .try_write(seconds, |tx| {
            let row = tx.list_databases()?.remove(0);
            let found = tx.find_aim(&row, Pick::Newest)?.expect("there is a line");
            tx.create_drill(&NewDrill::of_line(&row, found, false).unwrap())
        })
        .await
}

async fn end(world: &World, drill: &Drill, seconds: i64, reason: Failure) -> Drill {
    let (id, from) = (drill.id, drill.state.clone());
    let to =
        State::Cleaning { since: at(seconds), verdict: Verdict::Failed { stage: Stage::Loading, reason } };
    world.write(seconds, move |tx| tx.set_drill_state(id, &from, &to)).await;
    world.write(seconds, move |tx| tx.end_drill(id)).await;
    world.store.read(move |view| view.get_drill(id)).await.unwrap()
}

#[tokio::test]
async fn wal_that_stays_away_is_seen_while_nobody_tells() {
    let (world, id) = world().await;
    save(&world, id, 3, 100).await;
    world.write(200, move |tx| tx.record_stretch(&stretch(id, 3, 5, None))).await;
    assert!(said(&world, 600).await.is_empty());
    let behind = format!("wal of database dropit/production/db: disk has nothing of after {}", at(300));
    assert_eq!(said(&world, 601).await, std::slice::from_ref(&behind));
    let later = said(&world, 3 * 86_400).await;
    for line in [
        "copy of platform in disk: there is no copy, and one every 1h is promised",
        "copy of database dropit/production/db in disk: there is no copy, and one every 1d is promised",
        behind.as_str(),
    ] {
        assert!(later.iter().any(|found| found == line), "{later:?}");
    }
    world.write(700, |tx| tx.remove_backup_target(&"disk".parse().unwrap(), true)).await;
    assert_eq!(said(&world, 701).await, ["target: there is no backup target, so nothing is saved"]);
}

#[tokio::test]
async fn a_drill_to_a_second_is_a_drill_of_its_database() {
    let (world, id) = world().await;
    let row = world.store.read(|view| view.list_databases()).await.unwrap().remove(0);
    let none = world.store.read(move |view| view.find_aim(&row, Pick::Newest)).await.unwrap();
    assert_eq!(none, None, "there is no base backup");
    save(&world, id, 3, 100).await;
    world.write(200, move |tx| tx.record_stretch(&stretch(id, 3, 5, None))).await;
    let first = drill(&world, 340).await.unwrap();
    let newest = Timestamp::from_millis(at(300).as_millis() - 1);
    assert_eq!((first.method(), first.at(), first.rpo_measured_ms()), (Method::PointInTime, newest, 40_001));
    assert_eq!(first.aim.as_ref().unwrap().recovery.stretches.len(), 1);
    let again = drill(&world, 341).await.expect_err("one at a time");
    assert!(matches!(again, StoreError::DrillRunning { .. }), "{again}");

    let interrupted = end(&world, &first, 350, Failure::Interrupted).await;
    let find = |method| world.store.read(move |view| view.find_ended_drill(&db().key(), method));
    assert_eq!(find(Method::PointInTime).await.unwrap(), None, "it says nothing");
    let last = world.store.read(|view| view.find_last_drill(&db().key())).await.unwrap().unwrap();
    assert_eq!((last.method, last.is_interrupted), (Method::PointInTime, true));
    assert!(said(&world, 360).await.is_empty());

    let second = drill(&world, 370).await.unwrap();
    let failed = end(&world, &second, 380, Failure::Loader { reason: "no WAL\nthere".to_owned() }).await;
    assert_eq!(find(Method::PointInTime).await.unwrap(), Some(failed.clone()));
    assert_eq!(find(Method::Dump).await.unwrap(), None);
    assert_eq!(
        said(&world, 390).await,
        [
            "drill of database dropit/production/db in disk: x2 (point in time) failed while loading: the snapshot could not be \
          loaded: no WAL there"
        ]
    );
    let report = Report::parse(&failed.report.unwrap().text).unwrap();
    assert_eq!((report.method, report.at), (Some(Method::PointInTime), Some(newest)));
    assert_eq!(report.rpo_measured_ms, Some(70_001));
    assert!(interrupted.report.is_some());
}
