//! What edges last reported, in memory: it is about now, and an edge posts again within two seconds.
//! Tests: `tests/it/edge.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use havre_core::id::TaskId;
use havre_core::route::{EdgeView, retired_name};

/// Most edges remembered; one machine has one.
const EDGES_MAX: usize = 64;
/// A silent edge is forgotten after this long; plans stop counting it much earlier (`EDGE_LEASE`).
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(crate) struct EdgeReports {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    views: BTreeMap<String, EdgeView>,
    draining: BTreeSet<TaskId>,
}

impl EdgeReports {
    /// Keeps the report; whether somebody should look at it now.
    pub(crate) fn record(&self, view: EdgeView) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = state.views.get(&view.edge);
        if earlier.is_some_and(|earlier| is_overtaken(earlier, &view)) {
            return false;
        }
        let is_news = earlier.is_none_or(|earlier| is_news(earlier, &view, &state.draining));
        // What a predecessor still carries must not be forgotten until it says so itself, under a name of its own.
        let carries = |earlier: &&EdgeView| {
            earlier.instance != view.instance
                && earlier.upstreams.values().any(|upstream| upstream.in_flight > 0)
        };
        if let Some(predecessor) = earlier.filter(carries).cloned() {
            let edge = retired_name(&predecessor.edge, &predecessor.instance);
            state.views.entry(edge.clone()).or_insert(EdgeView { edge, ..predecessor });
        }
        state.views.retain(|_, other| view.at.since(other.at) <= FORGOTTEN_AFTER);
        if state.views.len() >= EDGES_MAX && !state.views.contains_key(&view.edge) {
            let oldest = state.views.values().min_by_key(|other| other.at).map(|other| other.edge.clone());
            oldest.and_then(|edge| state.views.remove(&edge));
        }
        state.views.insert(view.edge.clone(), view);
        is_news
    }

    /// The same for a report that names only upstreams which another table has changed: about all others the last report
    /// of the same process still holds. None where there is no such report, or only a newer one.
    pub(crate) fn record_partial(&self, view: EdgeView) -> Option<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { views, draining } = &mut *state;
        let earlier = views
            .get_mut(&view.edge)
            .filter(|earlier| earlier.instance == view.instance && !is_overtaken(earlier, &view))?;
        let is_news = is_other(earlier, &view) || has_news(earlier, &view, draining);
        (earlier.generation, earlier.at) = (view.generation, view.at);
        (earlier.listeners, earlier.https) = (view.listeners, view.https);
        earlier.upstreams.extend(view.upstreams);
        Some(is_news)
    }

    /// The last report of each edge, by name.
    pub(crate) fn list(&self) -> Vec<EdgeView> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).views.values().cloned().collect()
    }

    /// Which tasks drain now; for them the end of the last request is news.
    pub(crate) fn set_draining(&self, draining: BTreeSet<TaskId>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).draining = draining;
    }
}

/// Whether the edge has given this report up and posted another since: the tables of one process only become newer. Kept,
/// it would say of tasks that drain by now what was so before they had requests, and a partial report after it would make
/// that the word of a newer table.
fn is_overtaken(known: &EdgeView, late: &EdgeView) -> bool {
    known.instance == late.instance && late.generation < known.generation
}

/// Whether anything but counters and the arrival differs, or a draining task has just become idle.
fn is_news(earlier: &EdgeView, now: &EdgeView, draining: &BTreeSet<TaskId>) -> bool {
    is_other(earlier, now)
        || earlier.upstreams.len() != now.upstreams.len()
        || has_news(earlier, now, draining)
}

/// Whether the edge itself is another or serves something else.
fn is_other(earlier: &EdgeView, now: &EdgeView) -> bool {
    earlier.instance != now.instance
        || earlier.generation != now.generation
        || earlier.listeners != now.listeners
        || earlier.https != now.https
}

/// Whether one of the upstreams in `now` is.
fn has_news(earlier: &EdgeView, now: &EdgeView, draining: &BTreeSet<TaskId>) -> bool {
    now.upstreams.iter().any(|(task, upstream)| {
        earlier.upstreams.get(task).is_none_or(|before| {
            let is_idle_now = before.in_flight > 0 && upstream.in_flight == 0 && draining.contains(task);
            before.health != upstream.health || before.checks != upstream.checks || is_idle_now
        })
    })
}
