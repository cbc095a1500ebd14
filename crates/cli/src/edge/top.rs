//! `havre edge top`: what goes through the edges, refreshed on a terminal, one table elsewhere. What is shown is decided
//! by pure functions. Tests at the end of the file.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use havre_api::traffic::{EdgeTraffic, TrafficList, TrafficRow};

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table};
use crate::task::terminal;

/// Rows where the terminal does not say how many it has.
const ROWS: usize = 24;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print one table and end; what happens anyway where the output is no terminal
    #[arg(long)]
    plain: bool,
    /// Seconds between two looks; edges report every two seconds
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    every: u64,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let is_live = !options.plain && !invocation.global.json && std::io::stdout().is_terminal();
    if !is_live {
        let list: TrafficList = client.get("/v1/traffic").await?;
        match invocation.global.json {
            true => output::json(&list)?,
            false => output::data(&render(&list, usize::MAX))?,
        }
        return Ok(Exit::Ok);
    }
    let _screen = Screen::open()?;
    loop {
        let list: TrafficList = client.get("/v1/traffic").await?;
        let height = terminal::size().map_or(ROWS, |size| usize::from(size.rows));
        // Home, the text line by line, each cleared to its end, then the rest of the screen.
        let text = render(&list, height.saturating_sub(1)).replace('\n', "\x1b[K\n");
        output::data(&format!("\x1b[H{text}\x1b[J"))?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(options.every)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
        }
    }
}

/// The second screen of the terminal, without a cursor; dropping it brings the first one back.
struct Screen;

impl Screen {
    fn open() -> Result<Self, CliError> {
        output::data("\x1b[?1049h\x1b[?25l\x1b[2J")?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = write!(std::io::stdout().lock(), "\x1b[?25h\x1b[?1049l");
    }
}

/// A table for each edge, cut to `height` lines.
fn render(list: &TrafficList, height: usize) -> String {
    if list.edges.is_empty() {
        return "no edge has reported its traffic yet; edges do so every two seconds\n".to_owned();
    }
    let text: Vec<String> = list.edges.iter().map(edge).collect();
    let text = text.join("\n");
    let lines = text.lines().count();
    if lines <= height {
        return text;
    }
    let shown: Vec<&str> = text.lines().take(height.saturating_sub(1)).collect();
    format!("{}\n... {} more lines, see --plain\n", shown.join("\n"), lines - shown.len())
}

fn edge(edge: &EdgeTraffic) -> String {
    let traffic = &edge.traffic;
    let window = traffic.window_ms.max(1);
    let sum = |of: fn(&TrafficRow) -> u64| -> u64 { traffic.rows.iter().map(of).sum() };
    let mut text = format!(
        "{}: {} requests/s, {} errors/s, {} in flight, {} waiting, {} connections, {} in, {} out\n",
        output::printable(&edge.edge),
        rate(sum(|row| row.requests), window),
        rate(sum(|row| row.errors), window),
        sum(|row| row.in_flight),
        sum(|row| row.waiting),
        traffic.connections,
        bytes(sum(|row| row.received_bytes), window),
        bytes(sum(|row| row.sent_bytes), window),
    );
    let mut rows = vec![table::row([
        "SERVICE",
        "RELEASE",
        "REQ/S",
        "4XX/S",
        "ERR/S",
        "P50",
        "P95",
        "P99",
        "IN FLIGHT",
        "IN",
        "OUT",
    ])];
    for row in &traffic.rows {
        let release = if row.release.is_empty() { "(edge)" } else { &row.release };
        rows.push(table::row([
            &row.name,
            release,
            &rate(row.requests, window),
            &rate(row.client_errors, window),
            &rate(row.errors, window),
            &duration(row.p50_us),
            &duration(row.p95_us),
            &duration(row.p99_us),
            &row.in_flight.to_string(),
            &bytes(row.received_bytes, window),
            &bytes(row.sent_bytes, window),
        ]));
    }
    text.push_str(&table::columns(&rows));
    if traffic.left_out > 0 {
        text.push_str(&format!("and {} less busy ones\n", traffic.left_out));
    }
    text
}

/// A number for each second, with one digit behind the point below ten.
fn rate(count: u64, window_ms: u64) -> String {
    let tenths = count.saturating_mul(10_000) / window_ms;
    match tenths {
        0 if count == 0 => "0".to_owned(),
        0..100 => format!("{}.{}", tenths / 10, tenths % 10),
        _ => (tenths / 10).to_string(),
    }
}

fn duration(micros: u64) -> String {
    match micros {
        0 => "-".to_owned(),
        1..1000 => format!("{micros}us"),
        1000..10_000 => format!("{}.{}ms", micros / 1000, micros % 1000 / 100),
        10_000..1_000_000 => format!("{}ms", micros / 1000),
        _ => format!("{}.{}s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

fn bytes(count: u64, window_ms: u64) -> String {
    let each = count.saturating_mul(1000) / window_ms;
    match each {
        0..1024 => format!("{each}B/s"),
        1024..1_048_576 => format!("{}KB/s", each >> 10),
        _ => format!("{}MB/s", each >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> TrafficList {
        let row = |name: &str, release: &str, requests: u64| {
            serde_json::json!({"name": name, "release": release, "requests": requests, "errors": 1,
                "client_errors": 0, "received_bytes": 100, "sent_bytes": 5_000_000, "p50_us": 900, "p95_us": 1792,
                "p99_us": 2_500_000, "in_flight": 3, "waiting": 0})
        };
        serde_json::from_value(serde_json::json!({"edges": [{"edge": "edge",
            "reported_at": "2026-11-24T11:59:00Z", "traffic": {"window_ms": 2000, "connections": 12, "shed": 1,
            "retries": 3, "panics": 0, "log_dropped": 0, "left_out": 2,
            "rows": [row("shop/production/api", "r7", 1234), row("web.example/", "", 3)]}}]}))
        .expect("a body")
    }

    #[test]
    fn a_table() {
        insta::assert_snapshot!(render(&list(), usize::MAX), @r"
        edge: 618 requests/s, 1.0 errors/s, 6 in flight, 0 waiting, 12 connections, 100B/s in, 4MB/s out
        SERVICE              RELEASE  REQ/S  4XX/S  ERR/S  P50    P95    P99   IN FLIGHT  IN     OUT
        shop/production/api  r7       617    0      0.5    900us  1.7ms  2.5s  3          50B/s  2MB/s
        web.example/         (edge)   1.5    0      0.5    900us  1.7ms  2.5s  3          50B/s  2MB/s
        and 2 less busy ones
        ");
        insta::assert_snapshot!(render(&list(), 3), @r"
        edge: 618 requests/s, 1.0 errors/s, 6 in flight, 0 waiting, 12 connections, 100B/s in, 4MB/s out
        SERVICE              RELEASE  REQ/S  4XX/S  ERR/S  P50    P95    P99   IN FLIGHT  IN     OUT
        ... 3 more lines, see --plain
        ");
        insta::assert_snapshot!(render(&TrafficList::default(), 3), @"no edge has reported its traffic yet; edges do so every two seconds");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [rate(0, 2000), rate(1, 2000), rate(19, 2000), rate(2000, 2000)],
            ["0", "0.5", "9.5", "1000"]
        );
        assert_eq!(
            [duration(0), duration(5), duration(9999), duration(65_536)],
            ["-", "5us", "9.9ms", "65ms"]
        );
        assert_eq!([bytes(2, 2000), bytes(2048, 1000), bytes(1 << 22, 1000)], ["1B/s", "2KB/s", "4MB/s"]);
    }
}
