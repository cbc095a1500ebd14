//! How the requests of one service are spread over its upstreams: two at random, the one with less in flight; fresh
//! ones spared at first; those that fail left out for a while; limits, a line before them, and a budget for second
//! tries. Core's `choose`, `budget` and `outlier` decide, purely; this file brings them what they need to know.
//! Health by probes is `probe`'s. Tests: `table/tests.rs`, `tests/it/balance.rs`.

mod queue;
mod stick;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use havre_api::route_table::{Balance as Rules, Protocol};
use havre_core::service::balance::budget::Budget;
use havre_core::service::balance::choose::{self, Candidate};
use havre_core::service::balance::outlier::{self, Mark, Seen};

use crate::table::Service;
use crate::upstream::{InFlight, Standing, Upstream};
pub(crate) use queue::{Place, Queue};
pub use stick::Choice;

/// Pause between two looks at all upstreams of a service that has requests, in milliseconds.
const REVIEW_EVERY: u64 = 1000;

/// Why no upstream is given a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoUpstream {
    /// None is live and healthy.
    NoneHealthy,
    /// Those that are have as many requests as they may.
    AllFull,
}

/// How a request ended for the upstream that had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer below 500.
    Good,
    /// An answer with 5xx.
    Failed,
    /// No connection, no answer, or a broken one.
    Broken,
}

/// What a service remembers for balancing; survives a swap of the table.
#[derive(Debug, Default)]
pub struct Balance {
    pub(crate) queue: Arc<Queue>,
    /// When to look again.
    next_review: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    marks: BTreeMap<String, Mark>,
    budget: Budget,
}

impl Balance {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// What its live upstreams speak; for requests that wait for one of them.
    pub(crate) fn protocol(&self) -> Protocol {
        self.live.first().map_or(Protocol::Http1, |upstream| upstream.protocol)
    }

    /// Picks an upstream for one request: of two live ones at random the one with less in flight, among the healthy
    /// that are not ejected; if there is none, among the healthy; if there is none, among those not probed yet.
    /// Upstreams of `avoid` (already tried for this request) are left out. `turn` is the caller's own randomness.
    ///
    /// Load the table, find and pick in one synchronous section: what a worker acknowledges is that no such
    /// section of an older table is still open.
    pub fn pick(&self, avoid: &[Arc<Upstream>], turn: &mut u32) -> Option<InFlight> {
        self.try_pick(avoid, turn).ok()
    }

    /// As [`Service::pick`], and says why not.
    ///
    /// # Errors
    /// Nobody can take the request.
    pub fn try_pick(&self, avoid: &[Arc<Upstream>], turn: &mut u32) -> Result<InFlight, NoUpstream> {
        let now = self.now();
        let random = choose::random(turn);
        if avoid.is_empty()
            && let Some(upstream) = self.quick_choice(random, now)
            && let Some(in_flight) = self.take(upstream)
        {
            return Ok(in_flight);
        }
        self.slow_choice(avoid, random, now)
    }

    /// The present moment, in milliseconds since the start of the process; a tick old at most.
    fn now(&self) -> u64 {
        self.live.first().map_or(0, |upstream| upstream.now())
    }

    /// Two of the live upstreams at random, where both can take it.
    fn quick_choice(&self, random: u32, now: u64) -> Option<&Arc<Upstream>> {
        let count = u32::try_from(self.live.len()).ok()?;
        let first = self.live.get(usize::try_from(random.checked_rem(count)?).ok()?)?;
        if count == 1 {
            return self.is_good(first, now).then_some(first);
        }
        let step = 1 + (random >> 12) % (count - 1);
        let second = self.live.get(usize::try_from((random % count + step) % count).ok()?)?;
        let are_good = self.is_good(first, now) && self.is_good(second, now);
        are_good.then(|| self.better(first, second, random, now))
    }

    fn is_good(&self, upstream: &Upstream, now: u64) -> bool {
        upstream.standing() == Standing::Healthy && !upstream.is_ejected(now) && self.has_room(upstream)
    }

    fn has_room(&self, upstream: &Upstream) -> bool {
        let most = u64::from(self.balancing.max_in_flight);
        most == 0 || upstream.in_flight() < most
    }

    fn better<'u>(
        &self,
        first: &'u Arc<Upstream>,
        second: &'u Arc<Upstream>,
        mut random: u32,
        now: u64,
    ) -> &'u Arc<Upstream> {
        let candidate = |upstream: &Upstream| Candidate {
            load: upstream.in_flight(),
            weight: choose::weight(now, upstream.ramp_from(), self.balancing.slow_start_ms),
        };
        if choose::takes_second(candidate(first), candidate(second), choose::random(&mut random)) {
            second
        } else {
            first
        }
    }

    /// Counts the request in, unless another one has just taken the last room.
    fn take(&self, upstream: &Arc<Upstream>) -> Option<InFlight> {
        if self.balancing.max_in_flight == 0 {
            return Some(InFlight::new(Arc::clone(upstream)));
        }
        let queue = Arc::clone(&self.balance.queue);
        InFlight::within(Arc::clone(upstream), u64::from(self.balancing.max_in_flight), queue)
    }

    /// Looks at all live upstreams: some are not healthy, ejected, tried already, or full.
    fn slow_choice(
        &self,
        avoid: &[Arc<Upstream>],
        mut random: u32,
        now: u64,
    ) -> Result<InFlight, NoUpstream> {
        let mut pairs: [Pair<'_>; 3] = Default::default();
        let mut is_anyone_there = false;
        for upstream in &self.live {
            let rank = match upstream.standing() {
                Standing::Healthy => usize::from(upstream.is_ejected(now)),
                Standing::Unknown => 2,
                Standing::Unhealthy => continue,
            };
            if avoid.iter().any(|tried| Arc::ptr_eq(tried, upstream)) {
                continue;
            }
            is_anyone_there = true;
            if self.has_room(upstream) {
                pairs[rank].offer(upstream, choose::random(&mut random));
            }
        }
        let chosen = pairs.iter().find_map(|pair| match (pair.first, pair.second) {
            (Some(first), Some(second)) => Some(self.better(first, second, random, now)),
            (first, _) => first,
        });
        let taken = chosen.and_then(|upstream| self.take(upstream));
        taken.ok_or(if is_anyone_there { NoUpstream::AllFull } else { NoUpstream::NoneHealthy })
    }

    /// Notes how a request ended. Cheap when it went well, as most do.
    pub(crate) fn note(&self, upstream: &Upstream, outcome: Outcome) {
        let run = upstream.note(outcome);
        let after = self.balancing.eject_after;
        let now = upstream.now();
        let is_due = now >= self.balance.next_review.load(Ordering::Relaxed);
        if self.live.len() > 1 && (is_due || (after > 0 && run >= after)) {
            self.review(now);
        }
    }

    /// Ejects and brings back.
    fn review(&self, now: u64) {
        self.balance.next_review.store(now + REVIEW_EVERY, Ordering::Relaxed);
        let mut state = self.balance.lock();
        let mut seen: Vec<(Mark, Seen)> = self
            .live
            .iter()
            .map(|upstream| {
                let mark = state.marks.get(&upstream.task).copied().unwrap_or_default();
                let (broken_run, failure_run) = upstream.runs();
                let can_serve = upstream.standing() == Standing::Healthy;
                let (requests, failures) = (upstream.requests(), upstream.errors());
                (mark, Seen { requests, failures, broken_run, failure_run, can_serve })
            })
            .collect();
        outlier::review(&mut seen, self.balancing.eject_after, now);
        let marks = self.live.iter().zip(&seen).map(|(upstream, (mark, _))| (upstream.task.clone(), *mark));
        state.marks = marks.collect();
        drop(state);
        for (upstream, (mark, seen)) in self.live.iter().zip(&seen) {
            if upstream.eject_until(mark.until, now) {
                tracing::warn!(service = %self.name, task = %upstream.task, for_ms = mark.until - now,
                    in_a_row = seen.failure_run, "task gets no requests for a while: it fails more than its peers");
            }
        }
    }

    /// Whether one more request of this service may be sent a second time.
    pub(crate) fn may_retry(&self) -> bool {
        let requests = self.upstreams.iter().map(|member| member.upstream.requests()).sum();
        self.balance.lock().budget.permit(self.now(), requests, self.balancing.retry_percent)
    }

    /// A place in line, or none when too many wait.
    pub(crate) fn queue(&self) -> Option<Place> {
        self.balance.queue.join(usize::try_from(self.balancing.queue).unwrap_or(usize::MAX))
    }

    /// Whether a new request has to stand in line.
    pub(crate) fn has_queue(&self) -> bool {
        self.balancing.max_in_flight > 0 && self.balance.queue.is_in_use()
    }

    /// Requests that wait for room.
    pub fn waiting(&self) -> usize {
        self.balance.queue.length()
    }
}

/// Two candidates out of any number, each pair as likely as any other.
#[derive(Default)]
struct Pair<'s> {
    seen: u32,
    first: Option<&'s Arc<Upstream>>,
    second: Option<&'s Arc<Upstream>>,
}

impl<'s> Pair<'s> {
    fn offer(&mut self, upstream: &'s Arc<Upstream>, random: u32) {
        self.seen += 1;
        match random % self.seen {
            0 if self.seen > 2 => self.first = Some(upstream),
            1 if self.seen > 2 => self.second = Some(upstream),
            _ if self.seen == 1 => self.first = Some(upstream),
            _ if self.seen == 2 => self.second = Some(upstream),
            _ => {}
        }
    }
}

/// The bounds an edge holds whatever a table says: a document of control is not trusted with memory or time.
pub(crate) fn bounded(rules: &Rules) -> Rules {
    Rules {
        max_in_flight: rules.max_in_flight,
        queue: rules.queue.min(10_000),
        queue_wait_ms: rules.queue_wait_ms.min(60_000),
        slow_start_ms: rules.slow_start_ms.min(3_600_000),
        eject_after: rules.eject_after,
        retry_percent: rules.retry_percent.min(100),
    }
}
