//! All figures of a run: tables for people, JSON for programs, and what is wrong with them. Tests at the end of the file.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::ratio::{Spread, ratios, spread};
use super::{CELLS, EdgeArguments};
use crate::load::tally::LoadReport;

/// What the others are compared with.
const BASE: &str = "nginx";
const PEERS: [&str; 2] = ["nginx", "haproxy"];

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
    pub(super) load: LoadReport,
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
    realtime_latency: bool,
    /// Of the machine, before and after; other programs on it show here.
    load_average: Vec<String>,
    summary: Vec<Row>,
    pub(super) measurements: Vec<Measurement>,
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
    cpu_to_haproxy: Option<Spread>,
    p50_ms: Option<Spread>,
    p99_ms: Option<Spread>,
    p99_to_nginx: Option<Spread>,
    failed: u64,
}

type Figure = fn(&Measurement) -> f64;

impl Report {
    pub(super) fn new(versions: Vec<String>, arguments: &EdgeArguments) -> Self {
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
            realtime_latency: !arguments.no_realtime,
            load_average: vec![read("/proc/loadavg")],
            summary: Vec::new(),
            measurements: Vec::new(),
        }
    }

    /// Puts the rounds together.
    pub(super) fn finish(&mut self) {
        self.load_average.push(fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned());
        self.summary = summarise(&self.measurements);
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "{} rounds of {} s; kernel {}, {}; load average {}\n{}\n",
            self.rounds,
            self.seconds,
            self.kernel,
            self.processor,
            self.load_average.join(", then "),
            self.versions.join("; "),
        );
        for cell in CELLS {
            text.push_str(&table(cell.name, &self.summary));
        }
        text
    }

    /// Failed requests, and limits that are exceeded.
    pub(super) fn problems(&self, max_cpu_ratio: Option<f64>) -> Vec<String> {
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
        let Some(limit) = max_cpu_ratio else { return problems };
        // The floor is for closed loops; at a low rate the cost of waking up dominates.
        let closed = CELLS.iter().filter(|cell| !cell.realtime).map(|cell| cell.name);
        for cell in closed {
            let row = self.summary.iter().find(|row| row.cell == cell && row.proxy == "havre");
            let ratios = row.map_or([None, None], |row| [row.cpu_to_nginx, row.cpu_to_haproxy]);
            for (peer, ratio) in PEERS.into_iter().zip(ratios) {
                match ratio {
                    Some(ratio) if ratio.median <= limit => {}
                    Some(ratio) => problems.push(format!(
                        "{cell}: CPU is {:.2} of {peer}, the limit is {limit:.2}",
                        ratio.median
                    )),
                    None => problems.push(format!("{cell}: Havre was not measured beside {peer}")),
                }
            }
        }
        problems
    }
}

fn summarise(measurements: &[Measurement]) -> Vec<Row> {
    let mut rows = Vec::new();
    for cell in CELLS {
        for proxy in PEERS.into_iter().chain(["havre"]) {
            let figures = |proxy: &str, figure: Figure| -> Vec<f64> {
                let of = |one: &&Measurement| one.cell == cell.name && one.proxy == proxy;
                measurements.iter().filter(of).map(figure).collect()
            };
            let own = |figure: Figure| spread(&figures(proxy, figure));
            let to = |peer, figure: Figure| spread(&ratios(&figures(proxy, figure), &figures(peer, figure)));
            let row = Row {
                cell: cell.name,
                proxy,
                per_second: own(|one| one.per_second),
                per_second_to_nginx: to(BASE, |one| one.per_second),
                cpu_us: own(|one| one.cpu_us),
                cpu_to_nginx: to(BASE, |one| one.cpu_us),
                cpu_to_haproxy: to(PEERS[1], |one| one.cpu_us),
                p50_ms: own(|one| one.p50_ms),
                p99_ms: own(|one| one.p99_ms),
                p99_to_nginx: to(BASE, |one| one.p99_ms),
                failed: figures(proxy, |one| one.failed as f64).iter().sum::<f64>() as u64,
            };
            if row.per_second.is_some() {
                rows.push(row);
            }
        }
    }
    rows
}

fn table(cell: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "\n**{cell}**\n\n| | req/s | to nginx | CPU µs | to nginx | to HAProxy | p50 ms | p99 ms | to nginx | failed |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    let plain = |spread: Option<Spread>, digits: usize| {
        spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.digits$}", spread.median))
    };
    let ratio = |spread: Option<Spread>| {
        spread.map_or_else(
            || "–".to_owned(),
            |spread| format!("{:.2} [{:.2}..{:.2}]", spread.median, spread.lower, spread.upper),
        )
    };
    for row in rows.iter().filter(|row| row.cell == cell) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.proxy,
            plain(row.per_second, 0),
            ratio(row.per_second_to_nginx),
            plain(row.cpu_us, 1),
            ratio(row.cpu_to_nginx),
            ratio(row.cpu_to_haproxy),
            plain(row.p50_ms, 2),
            plain(row.p99_ms, 2),
            ratio(row.p99_to_nginx),
            row.failed
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tally::Tally;

    fn report(havre_cpu: f64, failed: u64) -> Report {
        let mut measurements = Vec::new();
        for round in 0..3 {
            // All are slower in later rounds; the ratios stay.
            let slow = (round + 1) as f64;
            for cell in CELLS {
                for (proxy, cpu_us) in [("nginx", 20.0), ("haproxy", 25.0), ("havre", havre_cpu)] {
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
                        failed: if proxy == "havre" { failed } else { 0 },
                        load: Tally::default().report(),
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
            realtime_latency: true,
            load_average: vec!["0".into()],
            summary: Vec::new(),
            measurements,
        };
        report.summary = summarise(&report.measurements);
        report
    }

    #[test]
    fn the_table_shows_medians_and_ratios_that_noise_between_rounds_does_not_move() {
        let text = table(CELLS[0].name, &report(16.0, 0).summary);
        let lines: Vec<&str> = text.lines().skip(5).collect();
        assert_eq!(
            lines,
            [
                "| nginx | 25000 | 1.00 [1.00..1.00] | 40.0 | 1.00 [1.00..1.00] | 0.80 [0.80..0.80] | 2.00 | 4.00 | 1.00 [1.00..1.00] | 0 |",
                "| haproxy | 20000 | 0.80 [0.80..0.80] | 50.0 | 1.25 [1.25..1.25] | 1.00 [1.00..1.00] | 2.00 | 4.00 | 1.00 [1.00..1.00] | 0 |",
                "| havre | 31250 | 1.25 [1.25..1.25] | 32.0 | 0.80 [0.80..0.80] | 0.64 [0.64..0.64] | 2.00 | 4.00 | 1.00 [1.00..1.00] | 0 |",
            ]
        );
    }

    #[test]
    fn failures_and_exceeded_limits_are_problems() {
        assert_eq!(report(16.0, 0).problems(Some(0.9)), Vec::<String>::new());
        let slow = report(19.0, 0).problems(Some(0.9));
        assert_eq!(
            slow,
            [
                "200 B, closed loop: CPU is 0.95 of nginx, the limit is 0.90",
                "10 KB, closed loop: CPU is 0.95 of nginx, the limit is 0.90"
            ]
        );
        assert_eq!(report(19.0, 2).problems(None).len(), CELLS.len());
    }
}
