//! On another server: lost databases come back by themselves under their names and never start empty, and of two Havres that use one
//! repository only the one that came back removes anything there.

use havre_backup::Repository as _;
use havre_core::event::Actor;
use havre_data::backup::owner::claim;
use havre_engine::fake::script::Program;
use havre_rescue::lost::ATTEMPTS_MAX;
use havre_rescue::owner::Claim;
use havre_store::NewRecovery;
use serde_json::json;

use crate::restore::{rounds, saved, server, with};
use crate::world::{Control, Outside};
use crate::{backup, database};

fn owner(digit: char) -> havre_rescue::owner::Owner {
    digit.to_string().repeat(32).parse().unwrap()
}

/// The store is what came back; what it says to be there is not.
async fn come_back(control: &Control) {
    let now = control.world.now();
    let new = NewRecovery { owner: owner('a'), snapshot: "1".repeat(64).parse().unwrap(), saved_at: now };
    let write = control.world.store.write(now, Actor::Havre, move |tx| tx.settle_recovered(&new).map(drop));
    write.await.unwrap();
}

/// The one database: its id, its state, and what it waits for.
async fn db(control: &Control) -> (String, &'static str, String) {
    let read = control.world.store.read(|view| {
        let row = view.list_databases()?.remove(0);
        let waiting = view.waiting("database", row.id.row())?.unwrap_or_default();
        Ok((row.id.to_string(), row.state.name(), waiting))
    });
    read.await.unwrap()
}

fn daily() -> serde_json::Value {
    json!({ "every": "1d", "keep": { "last": 5 } })
}

#[tokio::test]
async fn a_lost_database_comes_back_by_itself_and_never_starts_empty() {
    let control = Outside::new().control();
    saved(&control, daily(), server(2)).await;
    come_back(&control).await;
    rounds(&control).await;
    let (id, state, waiting) = db(&control).await;
    assert_eq!((id.as_str(), state), ("m1", "stopped"));
    assert!(waiting.contains("waits until its backup targets have been looked at"), "{waiting}");
    backup::rounds(&control).await;
    rounds(&control).await;
    let (id, state, waiting) = db(&control).await;
    assert_eq!((id.as_str(), state, waiting.as_str()), ("m2", "ready", ""));
    assert!(control.outside.engine.volume_names().contains(&"havre-m2-data".to_owned()));
    let lost = control.world.store.read(|view| view.list_lost_databases()).await.unwrap();
    assert!(lost.is_empty(), "{lost:?}");
    let spec = control.world.store.read(|view| Ok(view.list_databases()?.remove(0).spec)).await.unwrap();
    assert!(spec.backup.is_some(), "what was promised of its backups is promised again");
}

#[tokio::test]
async fn one_that_does_not_come_back_is_tried_a_few_times_and_stays_lost() {
    let control = Outside::new().control();
    let broken = with(server(2), "pg_restore", Program::prints("", 1));
    saved(&control, daily(), broken).await;
    come_back(&control).await;
    for _ in 0..ATTEMPTS_MAX + 2 {
        backup::rounds(&control).await;
        rounds(&control).await;
        control.outside.clock.advance(std::time::Duration::from_secs(601));
    }
    rounds(&control).await;
    let (_, state, waiting) = db(&control).await;
    assert_eq!(state, "stopped");
    assert!(waiting.contains("putting it back failed 3 times"), "{waiting}");
    let lost = control.world.store.read(|view| view.list_lost_databases()).await.unwrap();
    assert_eq!((lost.len(), lost[0].attempts), (1, ATTEMPTS_MAX));
}

#[tokio::test]
async fn the_old_one_removes_nothing_once_another_one_came_back() {
    let control = Outside::new().control();
    backup::prepare(&control).await;
    backup::rounds(&control).await;
    let repository = backup::repository(&control).await;
    claim(&repository, &Claim { owner: owner('b'), at: control.world.now() }).await.unwrap();
    let before = repository.list().await.unwrap();
    // The policy keeps one; a day later there is another one.
    backup::later(&control, 86_400).await;
    let after = repository.list().await.unwrap();
    assert!(before.iter().all(|old| after.iter().any(|one| one.id == old.id)), "something was removed");
    assert!(after.len() > before.len(), "it still saves");
}

#[tokio::test]
async fn the_one_that_came_back_says_so_and_goes_on() {
    let control = Outside::new().control();
    backup::prepare(&control).await;
    backup::rounds(&control).await;
    come_back(&control).await;
    database::rounds(&control).await;
    backup::later(&control, 86_400).await;
    let listed = backup::repository(&control).await.list().await.unwrap();
    let tag = owner('a').tag();
    assert_eq!(listed.iter().filter(|one| one.tags.iter().any(|found| found.as_str() == tag)).count(), 1);
}
