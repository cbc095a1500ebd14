//! Builds.

use havre_core::artifact::ImageRef;
use havre_core::build::report::Steps;
use havre_core::build::test::TestSpec;
use havre_core::build::{Purpose, State};
use havre_core::id::BuildId;
use havre_store::StoreError;

use crate::world::{World, at, tasks};

#[tokio::test]
async fn states_are_compared_and_set() {
    let world = World::new();
    let service = world.service().await;
    let queue = || {
        world.write(1, move |tx| Ok(tx.create_build(service, tasks("api", 2, &[]), 1, "abc".to_owned())?.id))
    };
    let (first, second) = (queue().await, queue().await);
    let running = State::Running { since: at(2) };
    let set = |id: BuildId, from: &State, to: &State| {
        let (from, to) = (from.clone(), to.clone());
        world.try_write(2, move |tx| tx.set_build_state(id, &from, to))
    };
    set(first, &State::Queued, &State::Superseded { at: at(2), by: second }).await.unwrap();
    set(second, &State::Queued, &running).await.unwrap();
    let changes = world.changes();
    set(second, &running, &running).await.unwrap();
    assert_eq!(world.changes(), changes, "the same state is no change");
    let error = set(second, &State::Queued, &State::Cancelled { at: at(2) }).await.unwrap_err();
    assert_eq!(error.to_string(), "b2 changed meanwhile: it is running, not queued");
    let error = set(second, &State::Running { since: at(9) }, &State::Cancelled { at: at(2) }).await;
    assert!(matches!(error, Err(StoreError::Conflict { .. })), "the data of a state counts too");

    let (open, all) = world
        .store
        .read(move |view| Ok((view.list_open_builds()?, view.list_builds(service, 10)?)))
        .await
        .unwrap();
    assert_eq!(open.iter().map(|build| (build.id, &build.state)).collect::<Vec<_>>(), [(second, &running)]);
    assert_eq!(all.iter().map(|build| build.id).collect::<Vec<_>>(), [second, first], "newest first");
    assert_eq!((all[0].commit.as_str(), all[0].created_at), ("abc", at(1)));
    assert_eq!(
        world.story().await,
        [
            "service created",
            "build b1 is queued",
            "build b2 is queued",
            "build b1 was superseded by b2",
            "build b2 is running",
        ]
    );
}

#[tokio::test]
async fn base_images_are_remembered_with_their_digests() {
    let world = World::new();
    let service = world.service().await;
    let base: ImageRef = format!("docker.io/library/node:22@sha256:{}", "a".repeat(64)).parse().unwrap();
    let bases = vec![base];
    let expected = bases.clone();
    let id = world
        .write(1, move |tx| Ok(tx.create_build(service, tasks("api", 2, &[]), 1, String::new())?.id))
        .await;
    assert_eq!(world.store.read(move |view| view.list_build_bases(id)).await.unwrap(), []);
    world.write(2, move |tx| tx.record_build_bases(id, &bases)).await;
    assert_eq!(world.store.read(move |view| view.list_build_bases(id)).await.unwrap(), expected);
    let unknown = world.store.read(|view| view.list_build_bases(BuildId::new(9))).await;
    assert_eq!(unknown.unwrap_err().to_string(), "there is no build b9");
}

#[tokio::test]
async fn a_test_is_a_part_of_its_pipeline_and_no_build_of_its_service() {
    let world = World::new();
    let service = world.service().await;
    let test: TestSpec = serde_json::from_value(serde_json::json!({
        "command": ["npm", "test"], "timeout": "10m", "memory": "1GB",
    }))
    .unwrap();
    let wanted = test.clone();
    let (pipeline, row) = world
        .write(1, move |tx| {
            let pipeline = tx.create_pipeline(crate::pipeline::new("production"))?;
            let service = tx.get_service(service)?;
            let row = tx.create_pipeline_test(&pipeline, &service, wanted)?;
            Ok((pipeline.id, row))
        })
        .await;
    assert_eq!((&row.purpose, row.pipeline), (&Purpose::Test(test), Some(pipeline)));
    let running = State::Running { since: at(2) };
    let to = running.clone();
    world.write(2, move |tx| tx.set_build_state(row.id, &State::Queued, to)).await;
    world
        .write(7, move |tx| {
            tx.set_build_steps(row.id, Steps { total: 4, cached: 3 })?;
            tx.set_build_state(row.id, &running, State::Passed { at: at(7) })
        })
        .await;
    let (builds, parts, open) = world
        .store
        .read(move |view| {
            Ok((
                view.list_builds(service, 10)?,
                view.list_pipeline_builds(pipeline)?,
                view.list_open_builds()?,
            ))
        })
        .await
        .unwrap();
    assert_eq!((builds, open), (vec![], vec![]));
    let report = &parts[0].report;
    assert_eq!((report.started_at, report.ended_at), (Some(at(2)), Some(at(7))));
    assert_eq!(report.steps, Steps { total: 4, cached: 3 });
    assert_eq!(world.story().await.last().map(String::as_str), Some("test b1 passed"));
}
