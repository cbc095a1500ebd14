//! What the requests of one service or site came to, by release: answers by status class, bytes, durations. Each
//! worker counts in a stripe of its own, so that counting is a handful of uncontended additions. What is in flight
//! is counted by `upstream`. Tests at the end of the file and in the edge's `tests/it/metrics.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::histogram::{Durations, Histogram};

/// Stripes of a series. Workers beyond this number share; two adding to one counter are slower, never wrong.
const STRIPES: usize = 8;
/// Status classes: 0 for requests without an answer, 1xx to 5xx.
pub const CLASSES: usize = 6;
/// Names of the classes, for labels.
pub const CLASS_NAMES: [&str; CLASSES] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// How one request ended, as far as counters care.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending {
    /// Status of the answer; 0 when there was none.
    pub status: u16,
    /// Duration in microseconds.
    pub micros: u64,
    /// Bytes of its body.
    pub received: u64,
    /// Bytes of the body of the answer.
    pub sent: u64,
}

/// Counters of one release of one service or site. Takes memory once it is used.
#[derive(Debug)]
pub struct Series {
    /// `service`, `site` or `route`: the label of its name.
    pub kind: &'static str,
    /// Name of the service (`project/environment/service`), or the address of the site or the route.
    pub name: Box<str>,
    /// Name of the release; empty for answers the edge gave itself.
    pub release: Box<str>,
    stripes: [OnceLock<Box<Stripe>>; STRIPES],
}

#[derive(Debug, Default)]
struct Stripe {
    classes: [AtomicU64; CLASSES],
    received: AtomicU64,
    sent: AtomicU64,
    /// For 2xx to 5xx: how long a tunnel was open, or how soon a client left, is no latency.
    durations: [OnceLock<Box<Histogram>>; 4],
}

/// The numbers of a series at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests by class.
    pub classes: [u64; CLASSES],
    /// Bytes of request bodies.
    pub received: u64,
    /// Bytes of answers' bodies.
    pub sent: u64,
}

impl Series {
    /// Nothing counted yet.
    pub fn new(kind: &'static str, name: &str, release: &str) -> Self {
        Self { kind, name: name.into(), release: release.into(), stripes: Default::default() }
    }

    /// Counts one request; `worker` chooses the stripe.
    pub fn count(&self, worker: usize, ending: Ending) {
        let stripe = self.stripes[worker % STRIPES].get_or_init(Box::default);
        let class = usize::from(ending.status / 100).min(CLASSES - 1);
        stripe.classes[class].fetch_add(1, Ordering::Relaxed);
        if ending.received > 0 {
            stripe.received.fetch_add(ending.received, Ordering::Relaxed);
        }
        stripe.sent.fetch_add(ending.sent, Ordering::Relaxed);
        if let Some(durations) = class.checked_sub(2).and_then(|index| stripe.durations.get(index)) {
            durations.get_or_init(Box::default).add(ending.micros);
        }
    }

    /// The counters, over all workers.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for stripe in self.stripes.iter().filter_map(OnceLock::get) {
            for (sum, count) in totals.classes.iter_mut().zip(&stripe.classes) {
                *sum += count.load(Ordering::Relaxed);
            }
            totals.received += stripe.received.load(Ordering::Relaxed);
            totals.sent += stripe.sent.load(Ordering::Relaxed);
        }
        totals
    }

    /// Durations of one class, over all workers; `None` when none was counted.
    pub fn durations(&self, class: usize) -> Option<Durations> {
        let index = class.checked_sub(2)?;
        let mut found: Option<Durations> = None;
        for stripe in self.stripes.iter().filter_map(OnceLock::get) {
            if let Some(histogram) = stripe.durations.get(index).and_then(OnceLock::get) {
                histogram.collect(found.get_or_insert_with(Durations::default));
            }
        }
        found
    }
}

/// All series of one service, site or route; survives a swap of the table.
#[derive(Debug)]
pub struct Counters {
    kind: &'static str,
    name: Box<str>,
    /// A handful: what is live, what drains, what waits.
    series: Mutex<Vec<Arc<Series>>>,
}

impl Counters {
    /// Without any series.
    pub fn new(kind: &'static str, name: &str) -> Self {
        Self { kind, name: name.into(), series: Mutex::default() }
    }

    /// The series of a release, made when it is missing. It takes a lock: what is counted for every request keeps what it
    /// returns, unless others count it too (routes).
    pub fn of(&self, release: &str) -> Arc<Series> {
        let mut series = self.lock();
        if let Some(found) = series.iter().find(|series| &*series.release == release) {
            return Arc::clone(found);
        }
        let fresh = Arc::new(Series::new(self.kind, &self.name, release));
        series.push(Arc::clone(&fresh));
        fresh
    }

    /// Forgets releases that are not among these, so that labels stay few. Answers of the edge's own stay.
    pub fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.lock().retain(|series| series.release.is_empty() || is_known(&series.release));
    }

    /// Every series, in the order of the releases' names.
    pub fn list(&self) -> Vec<Arc<Series>> {
        let mut list = self.lock().clone();
        list.sort_by(|a, b| a.release.cmp(&b.release));
        list
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Series>>> {
        // Nothing panics while it holds this lock.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_count_into_one_sum() {
        let series = Series::new("service", "a/b/c", "r1");
        for worker in 0..20 {
            series.count(worker, Ending { status: 204, micros: 10, received: 1, sent: 2 });
        }
        series.count(3, Ending { status: 503, micros: 10, ..Ending::default() });
        series.count(3, Ending { status: 101, micros: 10, ..Ending::default() });
        series.count(3, Ending::default());
        let totals = series.totals();
        assert_eq!(totals, Totals { classes: [1, 1, 20, 0, 0, 1], received: 20, sent: 40 });
        assert_eq!(series.durations(2).map(|durations| durations.total()), Some(20));
        assert_eq!(series.durations(3), None);
        assert_eq!(series.durations(0), None);
    }

    #[test]
    fn releases_that_left_are_forgotten_and_the_edge_s_own_answers_are_not() {
        let counters = Counters::new("service", "a/b/c");
        let first = counters.of("r1");
        assert!(Arc::ptr_eq(&first, &counters.of("r1")));
        counters.of("r2");
        counters.of("");
        counters.retain(|release| release == "r2");
        let left: Vec<_> = counters.list().iter().map(|series| series.release.to_string()).collect();
        assert_eq!(left, ["", "r2"]);
    }
}
