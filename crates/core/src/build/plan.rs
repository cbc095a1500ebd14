//! Which builds to start: the newest of each service, at most one at a time for a service and `capacity` in all.
//! Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::build::{Build, State};
use crate::id::{BuildId, ServiceId};

/// What to do about the queue now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Queued builds whose place a newer one took, with that newer one.
    pub supersede: Vec<(BuildId, BuildId)>,
    /// Builds to start now.
    pub start: Vec<BuildId>,
    /// Builds that wait for a free place.
    pub waiting: Vec<BuildId>,
}

/// Chooses; `open` holds queued and running builds in any order.
pub fn plan(open: &[Build], capacity: usize) -> Plan {
    let mut plan = Plan::default();
    let running = |build: &&Build| matches!(build.state, State::Running { .. });
    let busy: Vec<ServiceId> = open.iter().filter(running).map(|build| build.service).collect();
    let mut queued: Vec<&Build> = open.iter().filter(|build| build.state == State::Queued).collect();
    queued.sort_by_key(|build| build.id);
    let newest = |service: ServiceId| {
        queued.iter().filter(|build| build.service == service).map(|build| build.id).max()
    };
    let mut free = capacity.saturating_sub(busy.len());
    for build in &queued {
        match newest(build.service) {
            Some(newer) if newer != build.id => plan.supersede.push((build.id, newer)),
            _ if free > 0 && !busy.contains(&build.service) => {
                free -= 1;
                plan.start.push(build.id);
            }
            _ => plan.waiting.push(build.id),
        }
    }
    plan
}
