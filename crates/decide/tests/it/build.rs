//! Which builds are started.

use std::collections::BTreeSet;

use havre_core::build::{Build, Purpose, State};
use havre_core::id::{BuildId, PipelineId, ServiceId};
use havre_core::time::Timestamp;
use havre_decide::build::plan::{Plan, plan};

use crate::sample;

fn build(id: i64, service: i64, state: State) -> Build {
    Build {
        id: BuildId::new(id),
        service: ServiceId::new(service),
        spec: sample::spec(sample::work()),
        revision: 1,
        commit: String::new(),
        pipeline: None,
        purpose: Purpose::Artifact,
        state,
        report: Default::default(),
        created_at: Timestamp::default(),
    }
}

#[test]
fn ten_pushes_make_at_most_two_builds() {
    let running = State::Running { since: Timestamp::default() };
    let mut open = vec![build(1, 1, running)];
    open.extend((2..=10).map(|id| build(id, 1, State::Queued)));
    let newest = BuildId::new(10);
    let expected = Plan {
        supersede: (2..=9).map(|id| (BuildId::new(id), newest)).collect(),
        start: Vec::new(),
        waiting: vec![newest],
    };
    assert_eq!(plan(&open, &BTreeSet::new(), 2), expected);
}

#[test]
fn capacity_is_shared_oldest_first() {
    let open = [build(3, 3, State::Queued), build(1, 1, State::Queued), build(2, 2, State::Queued)];
    let chosen = plan(&open, &BTreeSet::new(), 2);
    assert_eq!(chosen.start, [BuildId::new(1), BuildId::new(2)]);
    assert_eq!(chosen.waiting, [BuildId::new(3)]);
}

/// The same in pipeline `i1`, as a test of its service or not.
fn of_pipeline(mut build: Build, is_test: bool) -> Build {
    build.pipeline = Some(PipelineId::new(1));
    if is_test {
        let test = serde_json::json!({ "target": "test", "timeout": "10m", "memory": "1GB" });
        build.purpose = Purpose::Test(serde_json::from_value(test).expect("is a test"));
    }
    build
}

#[test]
fn artifacts_wait_for_the_tests_of_their_pipeline() {
    let open = [
        of_pipeline(build(1, 1, State::Queued), true),
        of_pipeline(build(2, 2, State::Queued), true),
        of_pipeline(build(3, 1, State::Queued), false),
        build(4, 3, State::Queued),
    ];
    let testing = BTreeSet::from([PipelineId::new(1)]);
    let chosen = plan(&open, &testing, 4);
    assert_eq!(chosen.supersede, [], "a test is no older build of its service");
    assert_eq!(chosen.start, [BuildId::new(1), BuildId::new(2), BuildId::new(4)]);
    assert_eq!(chosen.waiting, [BuildId::new(3)]);
    assert_eq!(plan(&open[2..], &BTreeSet::new(), 4).start, [BuildId::new(3), BuildId::new(4)]);
}

#[test]
fn a_test_at_work_takes_a_place_and_blocks_no_build_of_its_service() {
    let running = of_pipeline(build(1, 1, State::Running { since: Timestamp::default() }), true);
    let open = [running, build(2, 1, State::Queued)];
    assert_eq!(plan(&open, &BTreeSet::new(), 1).waiting, [BuildId::new(2)]);
    assert_eq!(plan(&open, &BTreeSet::new(), 2).start, [BuildId::new(2)]);
}
