//! The page of metrics in Prometheus' text format, in a stable order. Labels come from the route table only (services,
//! sites, tasks, releases), never from requests, so that nobody outside can make them many.
//! Tests: `tests/it/metrics.rs`.

use std::fmt::Write as _;
use std::sync::Arc;

use havre_api::route_table::UpstreamRole;

use super::Number;
use crate::shared::Shared;
use crate::table::Table;
use crate::upstream::Standing;
use havre_http::account::histogram::Durations;
use havre_http::account::series::{CLASS_NAMES, Series, Totals};

/// Bounds of the durations on the page, as powers of two of microseconds: half a millisecond to 67 seconds. They are
/// bounds of the finer buckets inside, so that nothing is guessed.
const BOUNDS: std::ops::RangeInclusive<u32> = 9..=26;

/// All metrics of the process.
pub fn text(shared: &Shared) -> String {
    let table = shared.table.load_full();
    let mut page = Page(String::with_capacity(16 * 1024));
    process(&mut page, shared, &table);
    let series = all_series(&table);
    requests(&mut page, &series);
    routes(&mut page, &table);
    upstreams(&mut page, &table);
    page.0
}

fn process(page: &mut Page, shared: &Shared, table: &Table) {
    let metrics = &shared.metrics;
    page.family("generation", "gauge", "Generation of the route table in use.");
    page.sample("generation", &[], table.generation);
    let log_dropped: &Number = &shared.account.dropped;
    for (name, kind, help, number) in [
        ("connections", "gauge", "Client connections open now.", &metrics.connections),
        ("accepted_total", "counter", "Client connections accepted.", &metrics.accepted),
        ("shed_total", "counter", "Client connections turned away at a limit.", &metrics.shed),
        ("refused_total", "counter", "Requests refused for a wrong head or framing.", &metrics.refused),
        ("unrouted_total", "counter", "Requests for a host or path no route names.", &metrics.unrouted),
        ("tunnels", "gauge", "Upgraded connections open now.", &metrics.tunnels),
        ("handshakes_total", "counter", "TLS handshakes completed.", &metrics.handshakes),
        ("handshakes_resumed_total", "counter", "TLS sessions resumed.", &metrics.handshakes_resumed),
        ("handshakes_failed_total", "counter", "TLS handshakes that failed.", &metrics.handshakes_failed),
        ("handshakes_shed_total", "counter", "TLS handshakes refused at a limit.", &metrics.handshakes_shed),
        ("retries_total", "counter", "Requests sent to an upstream again.", &metrics.retries),
        ("panics_total", "counter", "Connections that ended in a panic of the edge.", &metrics.panics),
        ("worker_restarts_total", "counter", "Workers started again after a panic.", &metrics.restarts),
        ("log_dropped_total", "counter", "Lines of the access log that were not written.", log_dropped),
    ] {
        page.family(name, kind, help);
        page.sample(name, &[], number.get());
    }
}

/// Services, then sites, by name; releases by name.
pub(crate) fn all_series(table: &Table) -> Vec<Arc<Series>> {
    let mut sites: Vec<_> = table.sites().collect();
    sites.sort_by(|a, b| a.name.cmp(&b.name));
    let services = table.services().map(|service| &service.counters);
    services
        .chain(sites.into_iter().map(|site| &site.counters))
        .flat_map(|counters| counters.list())
        .collect()
}

fn requests(page: &mut Page, series: &[Arc<Series>]) {
    let totals: Vec<_> = series.iter().map(|series| (series, series.totals())).collect();
    page.family("requests_total", "counter", "Requests by service or site, release and status class.");
    for (series, totals) in &totals {
        for (class, count) in CLASS_NAMES.into_iter().zip(totals.classes) {
            page.sample("requests_total", &labels(series, &[("class", class)]), count);
        }
    }
    page.family("received_bytes_total", "counter", "Bytes of request bodies.");
    for (series, totals) in &totals {
        page.sample("received_bytes_total", &labels(series, &[]), totals.received);
    }
    page.family("sent_bytes_total", "counter", "Bytes of bodies of answers.");
    for (series, totals) in &totals {
        page.sample("sent_bytes_total", &labels(series, &[]), totals.sent);
    }
    page.family(
        "request_duration_seconds",
        "histogram",
        "Time from the head of a request to the end of its answer.",
    );
    for (series, totals) in &totals {
        durations(page, "request_duration_seconds", (series, totals), &[]);
    }
}

/// Routes of services that have several; for others the service says it all.
fn routes(page: &mut Page, table: &Table) {
    let routes = table.counted_routes();
    let mut all = Vec::new();
    for route in &routes {
        let series = route.counters.list().into_iter();
        all.extend(series.map(|series| (route.service.name.as_str(), series.totals(), series)));
    }
    page.family("route_requests_total", "counter", "Requests of services with several routes, by route.");
    for (service, totals, series) in &all {
        for (class, count) in CLASS_NAMES.into_iter().zip(totals.classes) {
            let labels = labels(series, &[("service", service), ("class", class)]);
            page.sample("route_requests_total", &labels, count);
        }
    }
    let help = "The same time, by route.";
    page.family("route_request_duration_seconds", "histogram", help);
    for (service, totals, series) in &all {
        durations(page, "route_request_duration_seconds", (series, totals), &[("service", service)]);
    }
}

fn durations(page: &mut Page, name: &str, (series, totals): (&Series, &Totals), more: &[(&str, &str)]) {
    for (class, class_name) in CLASS_NAMES.into_iter().enumerate() {
        // Classes that never came take no lines: 20 each, for every release.
        if totals.classes[class] > 0
            && let Some(durations) = series.durations(class)
        {
            let labels = labels(series, &[more, &[("class", class_name)]].concat());
            page.histogram(name, &labels, &durations);
        }
    }
}

fn labels<'l>(series: &'l Series, more: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
    let mut labels = vec![(series.kind, &*series.name), ("release", &*series.release)];
    labels.extend_from_slice(more);
    labels
}

fn upstreams(page: &mut Page, table: &Table) {
    page.family("in_flight", "gauge", "Requests, upgraded connections and streams in flight, by service.");
    for service in table.services() {
        let in_flight = service.upstreams.iter().map(|member| member.upstream.in_flight()).sum();
        page.sample("in_flight", &[("service", &service.name)], in_flight);
    }
    page.family("waiting", "gauge", "Requests that wait for a task with room, by service.");
    for service in table.services() {
        page.sample("waiting", &[("service", &service.name)], service.waiting() as u64);
    }
    page.family("upstream_healthy", "gauge", "1 for an upstream whose probe succeeds, else 0.");
    for service in table.services() {
        for member in &service.upstreams {
            let role = match member.role {
                UpstreamRole::Live => "live",
                UpstreamRole::Standby => "standby",
                UpstreamRole::Draining => "draining",
            };
            let labels =
                [("service", service.name.as_str()), ("task", &member.upstream.task), ("role", role)];
            let is_healthy = member.upstream.standing() == Standing::Healthy;
            page.sample("upstream_healthy", &labels, u64::from(is_healthy));
        }
    }
    page.family(
        "upstream_ejected",
        "gauge",
        "1 for an upstream that gets no requests because it fails them, else 0.",
    );
    for service in table.services() {
        for upstream in &service.live {
            let labels = [("service", service.name.as_str()), ("task", &upstream.task)];
            page.sample("upstream_ejected", &labels, u64::from(upstream.is_ejected(table.signals.now())));
        }
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP havre_edge_{name} {help}\n# TYPE havre_edge_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.start(name, labels);
        let _ = writeln!(self.0, " {value}");
    }

    fn start(&mut self, name: &str, labels: &[(&str, &str)]) {
        let _ = write!(self.0, "havre_edge_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], durations: &Durations) {
        let bucket = format!("{name}_bucket");
        for power in BOUNDS {
            let bound = seconds(1 << power);
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.sample(&bucket, &labels, durations.at_most(1 << power));
        }
        let total = durations.total();
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), total);
        self.start(&format!("{name}_sum"), labels);
        let _ = writeln!(self.0, " {}", seconds(durations.sum));
        self.sample(&format!("{name}_count"), labels, total);
    }
}

/// Microseconds as seconds, exactly.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
