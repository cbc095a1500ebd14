//! What went through in the last window, for reports: the difference between two looks at the counters. Runs on the
//! state thread, every other second; the data path does not notice. Tests at the end of the file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use havre_api::traffic::{Traffic, TrafficRow};

use crate::metrics::all_series;
use crate::shared::Shared;
use crate::table::Table;
use havre_http::account::histogram::Durations;
use havre_http::account::series::{CLASSES, Series, Totals};

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(2);
/// Most rows of a report.
const MOST_ROWS: usize = 200;

/// Looks at counters from time to time.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    before: HashMap<Key, Seen>,
    looked: Option<Instant>,
    last: Option<Traffic>,
}

/// Kind, name and release.
type Key = (&'static str, Box<str>, Box<str>);

#[derive(Debug, Default)]
struct Seen {
    totals: Totals,
    durations: Few,
}

/// Durations in little memory: there may be tens of thousands of series, and most fill few of the buckets.
#[derive(Debug, Default)]
struct Few {
    counts: Box<[(u8, u64)]>,
    sum: u64,
}

impl Few {
    fn of(durations: &Durations) -> Self {
        let counts = (0..).zip(durations.counts).filter(|(_, count)| *count > 0);
        Self { counts: counts.collect(), sum: durations.sum }
    }

    fn all(&self) -> Durations {
        let mut all = Durations { sum: self.sum, ..Durations::default() };
        for (bucket, count) in &self.counts {
            all.counts[usize::from(*bucket)] = *count;
        }
        all
    }
}

impl Rates {
    /// The last whole window; a new one begins when it is over. `None` until the first one is.
    pub(crate) fn look(&mut self, shared: &Shared, table: &Table, now: Instant) -> Option<&Traffic> {
        let passed = self.looked.map(|looked| now.saturating_duration_since(looked));
        if passed.is_none_or(|passed| passed >= WINDOW) {
            let rows = self.rows(table);
            self.looked = Some(now);
            if let Some(passed) = passed {
                self.last = Some(traffic(shared, rows, passed));
            }
        }
        self.last.as_ref()
    }

    /// What came since the last look, by series.
    fn rows(&mut self, table: &Table) -> Vec<TrafficRow> {
        let mut rows = Vec::new();
        let mut seen = HashMap::new();
        for series in all_series(table) {
            let totals = series.totals();
            if totals == Totals::default() {
                continue;
            }
            let key = (series.kind, series.name.clone(), series.release.clone());
            let before = self.before.remove(&key);
            let is_quiet = before.as_ref().is_some_and(|before| before.totals == totals);
            let now = match before {
                Some(before) if is_quiet => before,
                before => {
                    let durations = all_durations(&series);
                    let before = before.unwrap_or_default();
                    let now = Seen { totals, durations: Few::of(&durations) };
                    let news = durations.since(&before.durations.all());
                    rows.push(row(&series, (&before.totals, &now.totals), &news));
                    now
                }
            };
            seen.insert(key, now);
        }
        self.before = seen;
        add_levels(&mut rows, table);
        rows
    }
}

fn all_durations(series: &Arc<Series>) -> Durations {
    let mut all = Durations::default();
    for durations in (0..CLASSES).filter_map(|class| series.durations(class)) {
        for (sum, count) in all.counts.iter_mut().zip(durations.counts) {
            *sum += count;
        }
        all.sum += durations.sum;
    }
    all
}

fn row(series: &Series, (before, now): (&Totals, &Totals), durations: &Durations) -> TrafficRow {
    let class = |class: usize| now.classes[class].saturating_sub(before.classes[class]);
    TrafficRow {
        name: series.name.to_string(),
        release: series.release.to_string(),
        requests: (0..CLASSES).map(class).sum(),
        errors: class(0) + class(5),
        client_errors: class(4),
        received_bytes: now.received.saturating_sub(before.received),
        sent_bytes: now.sent.saturating_sub(before.sent),
        p50_us: durations.quantile(500),
        p95_us: durations.quantile(950),
        p99_us: durations.quantile(990),
        in_flight: 0,
        waiting: 0,
    }
}

/// What is in flight has no window.
fn add_levels(rows: &mut Vec<TrafficRow>, table: &Table) {
    for service in table.services() {
        for member in &service.upstreams {
            let in_flight = member.upstream.in_flight();
            if in_flight > 0 {
                row_of(rows, &service.name, &member.upstream.release).in_flight += in_flight;
            }
        }
        if service.waiting() > 0 {
            row_of(rows, &service.name, "").waiting = service.waiting() as u64;
        }
    }
}

fn row_of<'r>(rows: &'r mut Vec<TrafficRow>, name: &str, release: &str) -> &'r mut TrafficRow {
    let found = rows.iter().position(|row| row.name == name && row.release == release);
    let index = found.unwrap_or_else(|| {
        let (name, release) = (name.to_owned(), release.to_owned());
        rows.push(TrafficRow { name, release, ..TrafficRow::default() });
        rows.len() - 1
    });
    &mut rows[index]
}

fn traffic(shared: &Shared, mut rows: Vec<TrafficRow>, window: Duration) -> Traffic {
    rows.sort_by(|a, b| {
        b.requests.cmp(&a.requests).then_with(|| (&a.name, &a.release).cmp(&(&b.name, &b.release)))
    });
    let left_out = rows.len().saturating_sub(MOST_ROWS) as u64;
    rows.truncate(MOST_ROWS);
    let metrics = &shared.metrics;
    Traffic {
        window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        connections: metrics.connections.get(),
        shed: metrics.shed.get(),
        retries: metrics.retries.get(),
        panics: metrics.panics.get() + metrics.restarts.get(),
        log_dropped: shared.account.dropped.get(),
        rows,
        left_out,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use havre_api::route_table::{ROUTE_TABLE_VERSION, Route, RouteTable};

    use super::*;
    use havre_http::account::series::Ending;

    fn shared(sites: usize) -> Arc<Shared> {
        let route = |number: usize| -> Route {
            serde_json::from_value(serde_json::json!({
                "host": format!("h{number}"), "path_prefix": "/", "target": { "kind": "site",
                    "digest": "ab".repeat(32), "release": "r1", "spa": false, "expose_release": false },
            }))
            .unwrap()
        };
        let wire = RouteTable {
            version: ROUTE_TABLE_VERSION,
            generation: 1,
            routes: (0..sites).map(route).collect(),
            services: BTreeMap::new(),
            ..RouteTable::default()
        };
        let shared = Shared::new(crate::config::EdgeLimits::default(), "/nowhere".into());
        shared.publish(Table::build(&wire, None).unwrap());
        shared
    }

    fn count(shared: &Shared, site: usize, status: u16, micros: u64) {
        let table = shared.table.load();
        let site = table.sites().find(|found| found.name == format!("h{site}/")).unwrap();
        site.series.count(0, Ending { status, micros, received: 1, sent: 10 });
    }

    #[test]
    fn a_window_holds_what_came_in_it_only() {
        let shared = shared(2);
        let table = shared.table.load_full();
        let (mut rates, start) = (Rates::default(), Instant::now());
        count(&shared, 0, 200, 100);
        assert_eq!(rates.look(&shared, &table, start), None);
        for _ in 0..98 {
            count(&shared, 0, 200, 1000);
        }
        count(&shared, 0, 404, 1000);
        count(&shared, 0, 500, 3_000_000);
        assert_eq!(rates.look(&shared, &table, start + WINDOW / 2), None, "the window is not over");
        let found = rates.look(&shared, &table, start + WINDOW).cloned().unwrap();
        let row = TrafficRow {
            name: "h0/".to_owned(),
            release: "r1".to_owned(),
            requests: 100,
            errors: 1,
            client_errors: 1,
            received_bytes: 100,
            sent_bytes: 1000,
            p50_us: 1024,
            p95_us: 1024,
            p99_us: 1024,
            ..TrafficRow::default()
        };
        assert_eq!((found.window_ms, found.rows), (2000, vec![row]));
        count(&shared, 1, 200, 1);
        let found = rates.look(&shared, &table, start + 2 * WINDOW).unwrap();
        let names: Vec<_> = found.rows.iter().map(|row| (row.name.as_str(), row.requests)).collect();
        assert_eq!(names, [("h1/", 1)]);
    }

    #[test]
    fn a_report_has_a_bounded_number_of_rows() {
        let shared = shared(300);
        let table = shared.table.load_full();
        let (mut rates, start) = (Rates::default(), Instant::now());
        rates.look(&shared, &table, start);
        (0..300).for_each(|site| count(&shared, site, 200, 1));
        let found = rates.look(&shared, &table, start + WINDOW).unwrap();
        assert_eq!((found.rows.len(), found.left_out), (200, 100));
    }

    #[test]
    fn durations_in_little_memory_are_the_same() {
        let mut durations = Durations { sum: 77, ..Durations::default() };
        (durations.counts[0], durations.counts[5], durations.counts[119]) = (1, u64::MAX, 3);
        assert_eq!(Few::of(&durations).all(), durations);
        assert_eq!(Few::default().all(), Durations::default());
    }
}
