//! Which builds to start: the newest of each service, at most one at a time for a service and `capacity` in all. Tests are in nobody's
//! way but for the capacity. Tests: `tests/it/build.rs`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use havre_core::build::{Build, State};
use havre_core::id::{BuildId, PipelineId, ServiceId};

/// What to do about the queue now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Queued builds whose place a newer one took, with that newer one.
    pub supersede: Vec<(BuildId, BuildId)>,
    /// Builds to start now.
    pub start: Vec<BuildId>,
    /// Builds that wait for a free place, or for the tests of their pipeline.
    pub waiting: Vec<BuildId>,
}

/// Chooses; `open` holds queued and running builds in any order. Artifacts of pipelines that are `testing` are not made yet: a test
/// that fails costs nothing but itself.
pub fn plan(open: &[Build], testing: &BTreeSet<PipelineId>, capacity: usize) -> Plan {
    let mut plan = Plan::default();
    let running = open.iter().filter(|build| matches!(build.state, State::Running { .. }));
    let running: Vec<&Build> = running.collect();
    let busy: Vec<ServiceId> =
        running.iter().filter(|build| !build.is_test()).map(|build| build.service).collect();
    let mut queued: Vec<&Build> = open.iter().filter(|build| build.state == State::Queued).collect();
    queued.sort_by_key(|build| build.id);
    let newest = |service: ServiceId| {
        let rivals = queued.iter().filter(|build| !build.is_test() && build.service == service);
        rivals.map(|build| build.id).max()
    };
    let mut free = capacity.saturating_sub(running.len());
    for build in &queued {
        let newer = newest(build.service).filter(|newer| *newer != build.id);
        if let Some(newer) = newer.filter(|_| !build.is_test()) {
            plan.supersede.push((build.id, newer));
            continue;
        }
        let is_early = build.pipeline.is_some_and(|pipeline| testing.contains(&pipeline));
        let must_wait = !build.is_test() && (is_early || busy.contains(&build.service));
        if free > 0 && !must_wait {
            free -= 1;
            plan.start.push(build.id);
        } else {
            plan.waiting.push(build.id);
        }
    }
    plan
}
