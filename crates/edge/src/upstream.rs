//! One task address as the edge knows it over many tables: its health, its counters and what is in flight.
//! It does not decide who gets a request (`table::Service::pick`) and sends no probes (`probe`).
//! Tests: `table/tests.rs`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use havre_api::edge_report::{Checks, Health};
use havre_api::route_table::{Check, Protocol, Upstream as WireUpstream};
use tokio::sync::Notify;

use crate::balance::{Outcome, Queue};
use crate::tls::upstream::Trust;
use havre_http::account::series::Series;

/// Wake-ups between worker threads and the two state threads; one for the life of the process, passed from
/// each table to the next. Each side has exactly one listener, so a stored permit is never lost.
#[derive(Debug, Default)]
pub struct Signals {
    /// Something a report must tell at once has changed.
    pub report: Notify,
    /// There is another table, or an upstream is suspected of being down and should be probed now.
    pub probe: Notify,
    /// Tasks under suspicion, each once.
    suspects: Mutex<Vec<String>>,
    clock: Clock,
}

/// Time of the process in milliseconds, as balancing needs it: moved by the workers' ticks, read by anybody.
#[derive(Debug)]
struct Clock {
    start: Instant,
    now: AtomicU64,
    /// Tests move time on by this.
    skipped: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), now: AtomicU64::new(1), skipped: AtomicU64::new(0) }
    }
}

impl Signals {
    /// The present moment, a tick old at most.
    pub fn now(&self) -> u64 {
        self.clock.now.load(Ordering::Relaxed)
    }

    /// Tasks that have come under suspicion since the last call.
    pub(crate) fn take_suspects(&self) -> Vec<String> {
        // Nobody panics while holding this lock.
        std::mem::take(&mut *self.suspects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the system's clock.
    pub(crate) fn advance(&self) {
        let passed = u64::try_from(self.clock.start.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        let now = passed.saturating_add(self.clock.skipped.load(Ordering::Relaxed));
        self.clock.now.fetch_max(now.max(1), Ordering::Relaxed);
    }

    /// Moves the time of balancing on without waiting: for tests of what happens after minutes.
    pub(crate) fn skip(&self, millis: u64) {
        self.clock.skipped.fetch_add(millis, Ordering::Relaxed);
        self.advance();
    }
}

/// Health as one byte, so that a pick needs no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// No probe has ended yet.
    Unknown = 0,
    /// The probe succeeds.
    Healthy = 1,
    /// The probe fails.
    Unhealthy = 2,
}

impl Standing {
    fn of(health: &Health) -> Self {
        match health {
            Health::Unknown => Self::Unknown,
            Health::Healthy => Self::Healthy,
            Health::Unhealthy { .. } => Self::Unhealthy,
        }
    }
}

/// What the probe thread found out, with the reasons for people.
#[derive(Debug)]
struct Verdict {
    health: Health,
    checks: Checks,
    /// The checks that `checks` is the result of; another list starts again.
    checked: Vec<Check>,
}

/// One task address. Shared by every table that names the same task at the same address, so health, counters
/// and in-flight survive a swap.
#[derive(Debug)]
pub struct Upstream {
    /// Name of the task (`t123`).
    pub task: String,
    /// Name of the release (`r7`), for `Havre-Release`.
    pub release: String,
    /// Where to connect.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// How it proves who it is, where it speaks TLS.
    pub(crate) trust: Option<Arc<Trust>>,
    /// Counters of its release.
    pub(crate) series: Arc<Series>,
    in_flight: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    standing: AtomicU8,
    suspected: AtomicBool,
    draining: AtomicBool,
    /// Failures in a row: of any kind, and those without a whole answer.
    failure_run: AtomicU32,
    broken_run: AtomicU32,
    /// Gets no requests before this moment although it is healthy; 0 when it does.
    ejected_until: AtomicU64,
    /// Since when it gets requests.
    ramp_from: AtomicU64,
    verdict: Mutex<Verdict>,
    signals: Arc<Signals>,
}

impl Upstream {
    pub(crate) fn new(
        wire: &WireUpstream,
        trust: Option<Arc<Trust>>,
        signals: Arc<Signals>,
        series: Arc<Series>,
    ) -> Self {
        Self {
            task: wire.task.clone(),
            release: wire.release.clone(),
            address: wire.address,
            protocol: wire.protocol,
            trust,
            series,
            in_flight: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            standing: AtomicU8::new(Standing::Unknown as u8),
            suspected: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            failure_run: AtomicU32::new(0),
            broken_run: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ramp_from: AtomicU64::new(0),
            verdict: Mutex::new(Verdict {
                health: Health::Unknown,
                checks: Checks::Pending,
                checked: Vec::new(),
            }),
            signals,
        }
    }

    /// Requests, upgraded connections and streams that use this upstream now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Requests given to it since this process started.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Answers with status 5xx and requests that failed without an answer, since this process started.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Health without its reason; one atomic load.
    pub fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Acquire) {
            1 => Standing::Healthy,
            2 => Standing::Unhealthy,
            _ => Standing::Unknown,
        }
    }

    /// Health with its reason.
    pub fn health(&self) -> Health {
        self.verdict().health.clone()
    }

    /// Result of `wanted`, the checks of this upstream in the table at hand. A result of other checks says
    /// nothing about these.
    pub fn checks(&self, wanted: &[Check]) -> Checks {
        if wanted.is_empty() {
            return Checks::Passed;
        }
        let verdict = self.verdict();
        if verdict.checked == wanted { verdict.checks.clone() } else { Checks::Pending }
    }

    /// Says that a connection to it has just failed: the probe thread looks at once instead of at its next
    /// turn. Cheap enough to call for every failure; does not change health by itself, because one failed
    /// connection proves nothing about the others.
    pub fn suspect(&self) {
        if !self.suspected.swap(true, Ordering::AcqRel) {
            self.signals.suspects.lock().unwrap_or_else(PoisonError::into_inner).push(self.task.clone());
            self.signals.probe.notify_one();
        }
    }

    /// Whether it is suspected; clears the mark.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.suspected.swap(false, Ordering::AcqRel)
    }

    /// Records the result of probes and asks for a report if it differs from the last one.
    pub(crate) fn set_health(&self, health: Health) {
        let mut verdict = self.verdict();
        if verdict.health == health {
            return;
        }
        if health == Health::Healthy {
            self.restart_ramp(self.now());
        }
        self.standing.store(Standing::of(&health) as u8, Ordering::Release);
        verdict.health = health;
        drop(verdict);
        self.signals.report.notify_one();
    }

    /// Records the result of `wanted` and asks for a report if it is news.
    pub(crate) fn set_checks(&self, wanted: &[Check], checks: Checks) {
        let mut verdict = self.verdict();
        if verdict.checked == wanted && verdict.checks == checks {
            return;
        }
        verdict.checked = wanted.to_vec();
        verdict.checks = checks;
        drop(verdict);
        self.signals.report.notify_one();
    }

    /// The present moment, see [`Signals::now`].
    pub(crate) fn now(&self) -> u64 {
        self.signals.now()
    }

    /// It gets requests from now on: few at first.
    pub(crate) fn restart_ramp(&self, now: u64) {
        self.ramp_from.store(now, Ordering::Relaxed);
    }

    /// Since when it gets requests, in milliseconds of [`Upstream::now`].
    pub(crate) fn ramp_from(&self) -> u64 {
        self.ramp_from.load(Ordering::Relaxed)
    }

    /// Whether it gets no requests although it is healthy.
    pub fn is_ejected(&self, now: u64) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > now
    }

    /// Ejects it until `until`, or brings it back when that is 0. True when that is news and it is out now; its
    /// failures in a row then count from the start, and it comes back like a fresh one.
    pub(crate) fn eject_until(&self, until: u64, now: u64) -> bool {
        let is_new = self.ejected_until.swap(until, Ordering::Relaxed) != until && until > now;
        if is_new {
            self.failure_run.store(0, Ordering::Relaxed);
            self.broken_run.store(0, Ordering::Relaxed);
            self.restart_ramp(until);
        }
        is_new
    }

    /// Failures in a row: without a whole answer, and of any kind.
    pub(crate) fn runs(&self) -> (u32, u32) {
        (self.broken_run.load(Ordering::Relaxed), self.failure_run.load(Ordering::Relaxed))
    }

    /// Notes how a request ended; returns the failures in a row. A good answer writes nothing unless failures came
    /// before it.
    pub(crate) fn note(&self, outcome: Outcome) -> u32 {
        match outcome {
            Outcome::Good => {
                if self.failure_run.load(Ordering::Relaxed) > 0 {
                    self.failure_run.store(0, Ordering::Relaxed);
                    self.broken_run.store(0, Ordering::Relaxed);
                }
                return 0;
            }
            Outcome::Failed => self.broken_run.store(0, Ordering::Relaxed),
            Outcome::Broken => {
                self.broken_run.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.failure_run.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Whether the current table drains it; the last request in flight then asks for a report when it ends.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    fn verdict(&self) -> std::sync::MutexGuard<'_, Verdict> {
        // No code panics while it holds this lock, and a half-written verdict would still be a valid one.
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, upgraded connection or stream on its way through an upstream: counted from the pick until this
/// value is dropped. Keep it until the last byte of the answer, or the end of the tunnel.
#[derive(Debug)]
pub struct InFlight {
    upstream: Arc<Upstream>,
    /// It waits in line and is not counted yet.
    is_waiting: bool,
    /// Who may want the room it leaves.
    queue: Option<Arc<Queue>>,
}

impl InFlight {
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        upstream.in_flight.fetch_add(1, Ordering::AcqRel);
        upstream.requests.fetch_add(1, Ordering::Relaxed);
        Self { upstream, is_waiting: false, queue: None }
    }

    /// As [`InFlight::new`], unless `most` are in flight already.
    pub(crate) fn within(upstream: Arc<Upstream>, most: u64, queue: Arc<Queue>) -> Option<Self> {
        if upstream.in_flight.fetch_add(1, Ordering::AcqRel) >= most {
            upstream.in_flight.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        upstream.requests.fetch_add(1, Ordering::Relaxed);
        Some(Self { upstream, is_waiting: false, queue: Some(queue) })
    }

    /// Stands for a request that has no upstream yet; `upstream` is not told.
    pub(crate) fn waiting(upstream: Arc<Upstream>) -> Self {
        Self { upstream, is_waiting: true, queue: None }
    }

    /// The upstream that was picked.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The same, shared: for the `avoid` list of the next pick.
    pub fn share(&self) -> Arc<Upstream> {
        Arc::clone(&self.upstream)
    }

    /// Counts an answer with status 5xx, or a request that failed without an answer. At most once a request.
    pub fn record_error(&self) {
        self.upstream.errors.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_waiting {
            return;
        }
        let before = self.upstream.in_flight.fetch_sub(1, Ordering::SeqCst);
        if let Some(queue) = &self.queue {
            queue.wake_first();
        }
        if before == 1 && self.upstream.draining.load(Ordering::Acquire) {
            self.upstream.signals.report.notify_one();
        }
    }
}
