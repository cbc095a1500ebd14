//! All figures of a run: tables for people, JSON for programs, and what is wrong with them. Tests at the end of the file.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::EdgeArguments;
use super::cell::{Cell, Figure, Rival};
use super::ratio::{Spread, best, ratios, spread};
use crate::load::tally::LoadReport;

/// Our own edge.
const OURS: &str = "havre";
/// Our edge where a cell is about hosts.
const MANY_HOSTS: [&str; 2] = ["havre, 10 hosts", "havre, many hosts"];
const NGINX: &str = "nginx";
const HAPROXY: &str = "haproxy";

/// One cell on one proxy in one round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measurement {
    pub(super) cell: &'static str,
    pub(super) round: usize,
    pub(super) proxy: &'static str,
    pub(super) per_second: f64,
    /// CPU time of all threads of the proxy for one good answer.
    pub(super) cpu_us: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) requests: u64,
    /// Failed requests; a body of the wrong length counts as one.
    pub(super) failed: u64,
    /// Due by the rate but not begun: the generator, or the proxy, did not keep up.
    pub(super) not_started: u64,
    /// `None` where the load was not ours.
    pub(super) load: Option<LoadReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    kernel: String,
    processor: String,
    cores: usize,
    versions: Vec<String>,
    began_unix: u64,
    rounds: usize,
    seconds: f64,
    workers: usize,
    realtime_latency: bool,
    /// Of the machine, before and after; other programs on it show here.
    load_average: Vec<String>,
    summary: Vec<Row>,
    pub(super) measurements: Vec<Measurement>,
    #[serde(skip)]
    cells: Vec<Cell>,
}

/// One cell and one proxy over all rounds.
#[derive(Debug, Clone, Serialize)]
struct Row {
    cell: &'static str,
    proxy: &'static str,
    per_second: Option<Spread>,
    per_second_to_nginx: Option<Spread>,
    cpu_us: Option<Spread>,
    cpu_to_nginx: Option<Spread>,
    /// To the better of nginx and HAProxy in each round.
    cpu_to_best: Option<Spread>,
    p99_ms: Option<Spread>,
    p99_to_best: Option<Spread>,
    failed: u64,
}

impl Figure {
    fn of(self, one: &Measurement) -> f64 {
        match self {
            Self::Cpu => one.cpu_us,
            Self::PerSecond => one.per_second,
            Self::P99 => one.p99_ms,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU per request",
            Self::PerSecond => "requests/s",
            Self::P99 => "p99",
        }
    }

    /// Whether `ratio` to a rival keeps `limit`.
    fn keeps(self, ratio: f64, limit: f64) -> bool {
        match self {
            Self::Cpu | Self::P99 => ratio <= limit,
            Self::PerSecond => ratio >= limit,
        }
    }
}

impl Report {
    pub(super) fn new(versions: Vec<String>, arguments: &EdgeArguments, cells: Vec<Cell>) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let model = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, name)| name.to_owned());
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            processor: model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            versions,
            began_unix: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .as_ref()
                .map_or(0, Duration::as_secs),
            rounds: arguments.rounds,
            seconds: arguments.seconds,
            workers: arguments.workers,
            realtime_latency: !arguments.no_realtime,
            load_average: vec![read("/proc/loadavg")],
            summary: Vec::new(),
            measurements: Vec::new(),
            cells,
        }
    }

    /// Puts the rounds together.
    pub(super) fn finish(&mut self) {
        self.load_average.push(fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned());
        self.summary = self.cells.iter().flat_map(|cell| summarise(cell, &self.measurements)).collect();
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "{} rounds of {} s, {} worker each; kernel {}, {}; load average {}\n{}\n",
            self.rounds,
            self.seconds,
            self.workers,
            self.kernel,
            self.processor,
            self.load_average.join(", then "),
            self.versions.join("; "),
        );
        for cell in &self.cells {
            text.push_str(&table(cell.name, &self.summary));
        }
        text.push_str("\n**Floors**\n\n| cell | figure | to | limit | found | |\n| --- | --- | --- | --- | --- | --- |\n");
        for cell in &self.cells {
            text.push_str(&self.floor_line(cell));
        }
        text
    }

    fn floor_line(&self, cell: &Cell) -> String {
        let floor = cell.floor;
        let found = self.found(cell);
        let verdict = match found {
            None => "not measured",
            Some(found) if floor.figure.keeps(found.median, floor.limit) => "kept",
            Some(_) => "**missed**",
        };
        let rival = match floor.rival {
            Rival::Best => "the better of nginx and HAProxy",
            Rival::Nginx => "nginx",
            Rival::TenHosts => "ours with 10 hosts",
        };
        format!(
            "| {} | {} | {rival} | {} | {} | {verdict} |\n",
            cell.name,
            floor.figure.name(),
            floor.limit,
            ratio(found)
        )
    }

    /// The ratio that the floor of `cell` is about.
    fn found(&self, cell: &Cell) -> Option<Spread> {
        let figure = cell.floor.figure;
        let figures = |proxy: &str, cell: &str| figures(&self.measurements, cell, proxy, figure);
        let (ours, rivals) = match cell.floor.rival {
            Rival::Best => (figures(OURS, cell.name), rivals(&self.measurements, cell.name, figure)),
            Rival::Nginx => (figures(OURS, cell.name), figures(NGINX, cell.name)),
            Rival::TenHosts => {
                let name = if cell.work.hosts() == Some(10) { MANY_HOSTS[0] } else { MANY_HOSTS[1] };
                (figures(name, cell.name), figures(MANY_HOSTS[0], "10 hosts"))
            }
        };
        spread(&ratios(&ours, &rivals))
    }

    /// Failed requests, rates that were not kept and, if asked for, floors that were missed.
    pub(super) fn problems(&self, are_floors_asked: bool) -> Vec<String> {
        let mut problems = Vec::new();
        for row in &self.summary {
            if row.failed > 0 {
                problems.push(format!("{}, {}: {} requests failed", row.cell, row.proxy, row.failed));
            }
        }
        for one in self.measurements.iter().filter(|one| one.not_started * 20 > one.requests) {
            problems.push(format!(
                "{}, {}, round {}: the rate was not kept",
                one.cell,
                one.proxy,
                one.round + 1
            ));
        }
        for cell in self.cells.iter().filter(|_| are_floors_asked) {
            let floor = cell.floor;
            match self.found(cell) {
                Some(found) if floor.figure.keeps(found.median, floor.limit) => {}
                Some(found) => problems.push(format!(
                    "{}: {} is {:.2} of the rival's, the limit is {:.2}",
                    cell.name,
                    floor.figure.name(),
                    found.median,
                    floor.limit
                )),
                None => problems.push(format!("{}: Havre was not measured", cell.name)),
            }
        }
        problems
    }
}

/// A figure of `proxy` in `cell`, round by round.
fn figures(measurements: &[Measurement], cell: &str, proxy: &str, figure: Figure) -> Vec<f64> {
    let is_wanted = |one: &&Measurement| one.cell == cell && one.proxy == proxy;
    measurements.iter().filter(is_wanted).map(|one| figure.of(one)).collect()
}

/// The better of nginx and HAProxy, round by round; of one of them where the other cannot do it.
fn rivals(measurements: &[Measurement], cell: &str, figure: Figure) -> Vec<f64> {
    let of = |proxy| figures(measurements, cell, proxy, figure);
    best(&of(NGINX), &of(HAPROXY), figure == Figure::PerSecond)
}

fn summarise(cell: &Cell, measurements: &[Measurement]) -> Vec<Row> {
    let mut proxies: Vec<&'static str> = Vec::new();
    for one in measurements.iter().filter(|one| one.cell == cell.name) {
        if !proxies.contains(&one.proxy) {
            proxies.push(one.proxy);
        }
    }
    // Turning the order of a round must not turn the rows.
    let place = |proxy: &str| (proxy.starts_with(OURS), proxy != NGINX, proxy != HAPROXY, proxy.to_owned());
    proxies.sort_by_key(|proxy| place(proxy));
    let row = |proxy: &'static str| {
        let own = |figure| spread(&figures(measurements, cell.name, proxy, figure));
        let to_nginx = |figure| {
            let own = figures(measurements, cell.name, proxy, figure);
            spread(&ratios(&own, &figures(measurements, cell.name, NGINX, figure)))
        };
        let to_best = |figure| {
            let own = figures(measurements, cell.name, proxy, figure);
            spread(&ratios(&own, &rivals(measurements, cell.name, figure)))
        };
        let failed = measurements.iter().filter(|one| one.cell == cell.name && one.proxy == proxy);
        Row {
            cell: cell.name,
            proxy,
            per_second: own(Figure::PerSecond),
            per_second_to_nginx: to_nginx(Figure::PerSecond),
            cpu_us: own(Figure::Cpu),
            cpu_to_nginx: to_nginx(Figure::Cpu),
            cpu_to_best: to_best(Figure::Cpu),
            p99_ms: own(Figure::P99),
            p99_to_best: to_best(Figure::P99),
            failed: failed.map(|one| one.failed).sum(),
        }
    };
    proxies.into_iter().map(row).collect()
}

fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |spread| format!("{:.2} [{:.2}..{:.2}]", spread.median, spread.lower, spread.upper),
    )
}

fn table(cell: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "\n**{cell}**\n\n| | req/s | to nginx | CPU µs | to nginx | to the better | p99 ms | to the better | failed |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    let plain = |spread: Option<Spread>, digits: usize| {
        spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.digits$}", spread.median))
    };
    for row in rows.iter().filter(|row| row.cell == cell) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.proxy,
            plain(row.per_second, 0),
            ratio(row.per_second_to_nginx),
            plain(row.cpu_us, 1),
            ratio(row.cpu_to_nginx),
            ratio(row.cpu_to_best),
            plain(row.p99_ms, 2),
            ratio(row.p99_to_best),
            row.failed
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::cell::CELLS;
    use super::*;

    /// nginx and HAProxy take turns at being better; all are slower in later rounds, which no ratio shows.
    fn report(havre_cpu: f64, failed: u64) -> Report {
        let mut measurements = Vec::new();
        for round in 0..3 {
            let slow = (round + 1) as f64;
            for cell in CELLS {
                let rivals = if round == 1 { [25.0, 20.0] } else { [20.0, 25.0] };
                for (proxy, cpu_us) in [(NGINX, rivals[0]), (HAPROXY, rivals[1]), (OURS, havre_cpu)] {
                    measurements.push(Measurement {
                        cell: cell.name,
                        round,
                        proxy,
                        per_second: 1e6 / (cpu_us * slow),
                        cpu_us: cpu_us * slow,
                        p50_ms: slow,
                        p99_ms: 2.0 * slow,
                        requests: 100,
                        not_started: 5,
                        failed: if proxy == OURS { failed } else { 0 },
                        load: None,
                    });
                }
            }
        }
        let mut report = Report {
            kernel: "6.1".into(),
            processor: "x".into(),
            cores: 2,
            versions: vec!["nginx 1".into(), "haproxy 2".into()],
            began_unix: 0,
            rounds: 3,
            seconds: 2.0,
            workers: 1,
            realtime_latency: true,
            load_average: vec!["0".into()],
            summary: Vec::new(),
            measurements,
            cells: CELLS[..2].to_vec(),
        };
        report.finish();
        report
    }

    #[test]
    fn the_table_shows_medians_and_ratios_that_noise_between_rounds_does_not_move() {
        let text = table(CELLS[0].name, &report(16.0, 0).summary);
        let lines: Vec<&str> = text.lines().skip(5).collect();
        assert_eq!(
            lines,
            [
                "| nginx | 20000 | 1.00 [1.00..1.00] | 50.0 | 1.00 [1.00..1.00] | 1.00 [1.00..1.12] | 4.00 | 1.00 [1.00..1.00] | 0 |",
                "| haproxy | 25000 | 0.80 [0.80..1.02] | 40.0 | 1.25 [1.02..1.25] | 1.25 [1.12..1.25] | 4.00 | 1.00 [1.00..1.00] | 0 |",
                "| havre | 31250 | 1.25 [1.25..1.41] | 32.0 | 0.80 [0.72..0.80] | 0.80 [0.80..0.80] | 4.00 | 1.00 [1.00..1.00] | 0 |",
            ]
        );
    }

    #[test]
    fn failures_and_missed_floors_are_problems() {
        assert_eq!(report(16.0, 0).problems(true), Vec::<String>::new());
        assert_eq!(
            report(19.0, 0).problems(true),
            [
                "200 B: CPU per request is 0.95 of the rival's, the limit is 0.90",
                "10 KB: CPU per request is 0.95 of the rival's, the limit is 0.85"
            ]
        );
        assert_eq!(report(19.0, 2).problems(false).len(), 2);
        let floors = report(19.0, 0).markdown();
        let lines: Vec<&str> = floors.lines().filter(|line| line.contains("missed")).collect();
        assert_eq!(
            lines,
            [
                "| 200 B | CPU per request | the better of nginx and HAProxy | 0.9 | 0.95 [0.95..0.95] | **missed** |",
                "| 10 KB | CPU per request | the better of nginx and HAProxy | 0.85 | 0.95 [0.95..0.95] | **missed** |"
            ]
        );
    }

    #[test]
    fn more_requests_are_better_and_less_of_the_rest() {
        assert!(Figure::PerSecond.keeps(1.1, 1.0) && !Figure::PerSecond.keeps(0.9, 1.0));
        assert!(Figure::Cpu.keeps(0.9, 1.0) && !Figure::Cpu.keeps(1.1, 1.0));
    }
}
