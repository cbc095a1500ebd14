//! Probes every live and standby upstream from a thread of its own, so that health never waits for traffic and
//! traffic never for health. It picks nothing and removes nothing: it writes verdicts into upstreams.
//! Tests: `tests/it/probe.rs`; pure rules in `judge`.

mod ask;
mod judge;
mod streamed;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use havre_api::edge_report::{Checks, Health};
use havre_api::route_table::{Check, Probe, UpstreamRole};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::pace::Jitter;
use crate::shared::Shared;
use crate::table::{Member, Table};
use crate::upstream::Upstream;

/// Most probes at once, over all upstreams; each holds one socket.
const MAX_PROBES: usize = 512;
/// Least pause between two looks at all upstreams, so that a storm of failed connections costs one.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Bounds of the intervals and deadlines a table may ask for.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(3600);

/// What the current table wants of one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    probe: Probe,
    /// Empty unless it is standby.
    checks: Vec<Check>,
    is_standby: bool,
}

impl Wanted {
    fn of(member: &Member) -> Self {
        let is_standby = member.role == UpstreamRole::Standby;
        let checks = if is_standby { member.checks.clone() } else { Vec::new() };
        Self { probe: member.probe.clone(), checks, is_standby }
    }

    fn patience(&self) -> judge::Patience {
        judge::Patience { unhealthy_after: self.probe.unhealthy_after, is_live: !self.is_standby }
    }

    /// Pause after a probe.
    fn pause(&self, health: &Health) -> Duration {
        let is_steady = !self.is_standby && *health == Health::Healthy;
        bounded(if is_steady { self.probe.steady_interval_ms } else { self.probe.starting_interval_ms })
    }
}

fn bounded(millis: u64) -> Duration {
    Duration::from_millis(millis).clamp(SHORTEST, LONGEST)
}

/// One upstream under watch. Dropping it ends the watch, and a probe on its way.
struct Watch {
    upstream: Arc<Upstream>,
    wanted: watch::Sender<Wanted>,
    /// It is suspected: do not wait for the next turn.
    hurry: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Probes what the table in `shared` names, until dropped. Runs on a current-thread runtime.
pub async fn run(shared: Arc<Shared>) {
    let signals = Arc::clone(&shared.table.load().signals);
    let mut watches = Watches {
        by_task: HashMap::new(),
        slots: Arc::new(Semaphore::new(MAX_PROBES)),
        followed: Arc::new(Table::empty()),
    };
    loop {
        watches.follow(shared.table.load_full());
        for task in signals.take_suspects() {
            watches.hurry(&task);
        }
        sleep(LOOK_PAUSE).await;
        signals.probe.notified().await;
    }
}

/// Every upstream under watch.
struct Watches {
    by_task: HashMap<String, Watch>,
    slots: Arc<Semaphore>,
    /// The table they are of.
    followed: Arc<Table>,
}

impl Watches {
    /// Brings the watches in line with `table`.
    fn follow(&mut self, table: Arc<Table>) {
        let before = std::mem::replace(&mut self.followed, Arc::clone(&table));
        let mut named = HashSet::new();
        for service in table.changes_since(&before).filter_map(|(_, now)| now) {
            for member in service.upstreams.iter().filter(|member| member.role != UpstreamRole::Draining) {
                named.insert(member.upstream.task.as_str());
                self.watch(&member.upstream, Wanted::of(member));
            }
        }
        for service in table.changes_since(&before).filter_map(|(before, _)| before) {
            for member in
                service.upstreams.iter().filter(|member| !named.contains(member.upstream.task.as_str()))
            {
                self.by_task.remove(&member.upstream.task);
            }
        }
    }

    fn watch(&mut self, upstream: &Arc<Upstream>, wanted: Wanted) {
        match self.by_task.get(&upstream.task) {
            // A watch ends by itself only if a bug made it panic; then the upstream gets a new one.
            Some(watch) if Arc::ptr_eq(&watch.upstream, upstream) && !watch.task.is_finished() => {
                watch.wanted.send_if_modified(|now| {
                    let is_new = *now != wanted;
                    *now = wanted;
                    is_new
                });
            }
            _ => {
                // It is looked at now.
                upstream.take_suspicion();
                self.by_task.insert(upstream.task.clone(), start(upstream, wanted, &self.slots));
            }
        }
    }

    /// Has a suspected one probed without waiting for its turn.
    fn hurry(&mut self, task: &str) {
        let Some(watch) = self.by_task.get(task) else { return };
        if !watch.upstream.take_suspicion() {
            return;
        }
        watch.hurry.notify_one();
        if watch.task.is_finished() {
            let again = start(&watch.upstream, watch.wanted.borrow().clone(), &self.slots);
            self.by_task.insert(task.to_owned(), again);
        }
    }
}

fn start(upstream: &Arc<Upstream>, wanted: Wanted, slots: &Arc<Semaphore>) -> Watch {
    let (wanted, receiver) = watch::channel(wanted);
    let hurry = Arc::new(Notify::new());
    let upstream = Arc::clone(upstream);
    let task = tokio::spawn(observe(Arc::clone(&upstream), receiver, Arc::clone(&hurry), Arc::clone(slots)));
    Watch { upstream, wanted, hurry, task }
}

/// Probes one upstream, one probe after the other.
async fn observe(
    upstream: Arc<Upstream>,
    mut wanted: watch::Receiver<Wanted>,
    hurry: Arc<Notify>,
    slots: Arc<Semaphore>,
) {
    let mut failures = 0;
    let mut jitter = Jitter::new();
    loop {
        let want = wanted.borrow_and_update().clone();
        let slot = slots.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        // Boxed: there may be ten thousand of these tasks, and between two probes they should hold little.
        let outcome = Box::pin(ask::probe(&upstream, &want.probe)).await;
        let is_up = outcome.is_ok();
        let health = judge::judge(&upstream.health(), outcome, &mut failures, want.patience());
        upstream.set_health(health.clone());
        if is_up && !want.checks.is_empty() && upstream.checks(&want.checks) != Checks::Passed {
            let checks = Box::pin(ask::run_checks(&upstream, &want.probe, &want.checks)).await;
            upstream.set_checks(&want.checks, checks);
        }
        drop(slot);
        tokio::select! {
            () = sleep(jitter.spread(want.pause(&health))) => continue,
            () = hurry.notified() => {}
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        // Even in a hurry not more often than a starting task is probed.
        sleep_until(started + bounded(want.probe.starting_interval_ms)).await;
    }
}
