//! Which builds are started.

use havre_core::build::plan::{Plan, plan};
use havre_core::build::{Build, State};
use havre_core::id::{BuildId, ServiceId};
use havre_core::time::Timestamp;

use crate::sample;

fn build(id: i64, service: i64, state: State) -> Build {
    Build {
        id: BuildId::new(id),
        service: ServiceId::new(service),
        spec: sample::spec(sample::work()),
        revision: 1,
        commit: String::new(),
        pipeline: None,
        state,
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
    assert_eq!(plan(&open, 2), expected);
}

#[test]
fn capacity_is_shared_oldest_first() {
    let open = [build(3, 3, State::Queued), build(1, 1, State::Queued), build(2, 2, State::Queued)];
    let chosen = plan(&open, 2);
    assert_eq!(chosen.start, [BuildId::new(1), BuildId::new(2)]);
    assert_eq!(chosen.waiting, [BuildId::new(3)]);
}
