//! Drills: one of each thing at a time, and a report that shows when somebody has changed it.

use havre_rescue::drill::{Drill, State, Verdict};
use havre_rescue::proof::{Failure, Findings, Progress, Stage};
use havre_rescue::report::Report;
use havre_store::{NewDrill, StoreError};

use crate::restore::manifest;
use crate::world::{World, at, environment};

async fn create(world: &World, seconds: i64) -> Result<Drill, StoreError> {
    let spec = serde_json::json!({"name": "db", "engine": "postgres", "version": 15, "memory": "512MB", "cpus": "1"});
    let spec = serde_json::from_value(spec).unwrap();
    world
        .try_write(seconds, move |tx| {
            let environment_id = environment(tx)?;
            tx.create_drill(&NewDrill {
                environment_id,
                project: "dropit".parse().unwrap(),
                environment: "production".parse().unwrap(),
                database: "db".parse().unwrap(),
                target: "disk".parse().unwrap(),
                manifest: manifest(),
                spec,
                image: None,
                assertions: vec!["select true".to_owned()],
                aim: None,
                is_scheduled: true,
            })
        })
        .await
}

/// Ends a drill with this verdict.
async fn end(world: &World, drill: &Drill, seconds: i64, verdict: Verdict) -> Drill {
    let (id, from) = (drill.id, drill.state.clone());
    let to = State::Cleaning { since: at(seconds), verdict };
    world.write(seconds, move |tx| tx.set_drill_state(id, &from, &to)).await;
    world.write(seconds, move |tx| tx.end_drill(id)).await;
    world.store.read(move |view| view.get_drill(id)).await.unwrap()
}

fn passed() -> Verdict {
    let findings = Findings { rows: manifest().rows, ..Findings::default() };
    Verdict::Passed { findings, rto_measured_ms: 1500 }
}

#[tokio::test]
async fn a_report_is_signed_and_says_when_it_was_changed() {
    let world = World::new();
    let drill = create(&world, 2).await.unwrap();
    assert_eq!(drill.id.to_string(), "x1");
    assert!(matches!(create(&world, 3).await, Err(StoreError::DrillRunning { .. })));
    let id = drill.id;
    assert!(matches!(world.try_write(3, move |tx| tx.end_drill(id)).await, Err(StoreError::Conflict { .. })));
    let ended = end(&world, &drill, 9, passed()).await;
    assert_eq!((ended.state.name(), ended.ended_at), ("passed", Some(at(9))));
    world.write(10, move |tx| tx.end_drill(id)).await;

    let world = world.reopen();
    let report = ended.report.unwrap();
    let read = Report::parse(&report.text).unwrap();
    assert_eq!((read.drill, read.began_at, read.ended_at), (id, at(2), at(9)));
    let asked = report.clone();
    assert!(world.store.read(move |view| view.is_report_signed(&asked)).await.unwrap());
    let mut changed = report.clone();
    changed.text = changed.text.replace("1500", "0150");
    assert_ne!(changed, report);
    assert!(!world.store.read(move |view| view.is_report_signed(&changed)).await.unwrap());
    assert_eq!(
        world.story().await,
        [
            "drill x1 of database dropit/production/db asked for: snapshot 11111111",
            "drill x1 of database dropit/production/db passed: snapshot 11111111 was whole after 1500 ms",
        ]
    );
}

#[tokio::test]
async fn one_that_failed_says_why_and_the_next_one_may_come() {
    let world = World::new();
    let drill = create(&world, 2).await.unwrap();
    let loading = State::Working { progress: Progress::Loading { since: at(3) } };
    let (id, from, to) = (drill.id, drill.state.clone(), loading.clone());
    world.write(3, move |tx| tx.set_drill_state(id, &from, &to)).await;
    let drill = Drill { state: loading, ..drill };
    let verdict = Verdict::Failed { stage: Stage::Loading, reason: Failure::Interrupted };
    let ended = end(&world, &drill, 4, verdict).await;
    assert!(ended.state.is_interrupted());
    let last = world.store.read(|view| view.find_last_drill(&manifest().what.key())).await.unwrap().unwrap();
    assert!(last.is_over && last.is_interrupted);
    let story = world.story().await;
    assert_eq!(story[1], "drill x1 is loading");
    assert_eq!(
        story[2],
        "drill x1 of database dropit/production/db failed while loading: snapshot 11111111: Havre ended while it ran"
    );
    assert_eq!(create(&world, 5).await.unwrap().id.to_string(), "x2");
    let all = world.store.read(|view| view.list_drills(None, 10)).await.unwrap();
    assert_eq!(all.iter().map(|drill| drill.id.to_string()).collect::<Vec<_>>(), ["x2", "x1"]);
}
