//! `havre-bench edge-routes`: how soon a change among thousands of routes reaches users, and what ten changes a second cost
//! them. It plays control for a real edge. Tests: at the end of the file.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use havre_api::route_change::RouteChange;
use havre_api::route_table::RouteTable;

use super::peers::{HOST, Proxy, Site, havre};
use super::ratio::Spread;
use super::{Folder, ProgramArguments, Upstream, files, pin, ratio, wait_ready};
use crate::http::answer::Wanted;
use crate::http::exchange::{Exchange, get};
use crate::load::{Plan, run};
use crate::process::{CpuTimes, with_descendants};

/// Longest wait for a change to be seen.
const SEEN: Duration = Duration::from_secs(10);
/// How long control holds a question for news.
const HOLD: Duration = Duration::from_secs(20);
/// Connections that look for a change, so that every worker has some.
const LOOKING: usize = 16;
/// Changes each second under load.
const CHANGES: u32 = 10;

/// Arguments of `havre-bench edge-routes`.
#[derive(Debug, Args)]
pub(crate) struct RoutesArguments {
    #[command(flatten)]
    programs: ProgramArguments,
    /// Hosts, each a route to a service of its own.
    #[arg(long, default_value_t = 10_000)]
    hosts: usize,
    /// Changes whose time is taken.
    #[arg(long, default_value_t = 30)]
    changes: usize,
    /// Rounds of load without and with changes.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of each.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Worker threads of the edge. With two or more nothing is bound to a core.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Give whole tables, as a control does that has started anew.
    #[arg(long)]
    whole: bool,
    /// Fail when the change is seen later, in milliseconds (median).
    #[arg(long, default_value_t = 10.0)]
    limit_ms: f64,
    /// Fail when ten changes a second leave less of the throughput (median).
    #[arg(long, default_value_t = 0.98)]
    limit_throughput: f64,
}

/// A table that goes to the edge whatever its generation is: text before the number and behind it.
#[derive(Debug)]
struct Text(Vec<u8>, Vec<u8>);

impl Text {
    fn of(table: &RouteTable) -> anyhow::Result<Self> {
        const MARK: u64 = u64::MAX - 7;
        let text = serde_json::to_string(&RouteTable { generation: MARK, ..table.clone() })?;
        let (before, behind) = text.split_once(&MARK.to_string()).context("find the generation")?;
        Ok(Self(before.into(), behind.into()))
    }
}

/// The control that the edge asks.
#[derive(Debug)]
struct Control {
    /// To service 0, and to service 1.
    texts: [Text; 2],
    /// What leads to each of them from the other.
    changes: [RouteChange; 2],
    /// Tables come whole, as from a control that has started anew.
    is_whole: bool,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug)]
struct State {
    generation: u64,
    /// When the table of this generation began to be sent.
    sent: Option<Instant>,
    /// What the edge says every worker uses.
    reported: u64,
}

impl Control {
    /// Serves `table`, and what it becomes when host 0 leads to service 1, on `socket`.
    fn start(table: RouteTable, socket: &Path, is_whole: bool) -> anyhow::Result<Arc<Self>> {
        let mut tables = [table.clone(), table];
        havre::lead(&mut tables[1], 1);
        let texts = [Text::of(&tables[0])?, Text::of(&tables[1])?];
        let change = |before: &RouteTable, after: &RouteTable| {
            let after = RouteTable { generation: before.generation + 1, ..after.clone() };
            RouteChange::between(before, &after).context("compare the tables")
        };
        let changes = [change(&tables[1], &tables[0])?, change(&tables[0], &tables[1])?];
        let state = Mutex::new(State { generation: 1, sent: None, reported: 0 });
        let control = Arc::new(Self { texts, changes, is_whole, state, news: Condvar::new() });
        let listener = UnixListener::bind(socket).context("listen as control")?;
        let serving = Arc::clone(&control);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let control = Arc::clone(&serving);
                // What the edge breaks off it asks again.
                std::thread::spawn(move || control.answer(stream));
            }
        });
        Ok(control)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next change; odd generations lead to service 0. Returns the release that users must see.
    fn change(&self) -> (u64, &'static str) {
        let mut state = self.lock();
        state.generation += 1;
        state.sent = None;
        self.news.notify_all();
        (state.generation, if state.generation % 2 == 1 { "r1" } else { "r2" })
    }

    fn answer(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        for (path, is_change) in [("/table?after=", false), ("/changes?after=", true)] {
            let Some((_, after)) = first.split_once(path) else { continue };
            let after: u64 = after.split(['&', ' ']).next().unwrap_or_default().parse()?;
            return self.give(&mut stream, after, is_change);
        }
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body)?;
        if let Some((_, number)) = body.split_once("\"generation\":") {
            let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
            let mut state = self.lock();
            state.reported = state.reported.max(digits.parse()?);
            self.news.notify_all();
        }
        Ok(stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?)
    }

    /// The newest table once there is one after `after`, or what leads there.
    fn give(&self, stream: &mut UnixStream, after: u64, is_change: bool) -> anyhow::Result<()> {
        let state = self.lock();
        let waited = self.news.wait_timeout_while(state, HOLD, |state| state.generation <= after);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            drop(state);
            return Ok(stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?);
        }
        let generation = state.generation;
        if is_change && (self.is_whole || after + 1 != generation) {
            drop(state);
            return Ok(
                stream.write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?
            );
        }
        state.sent.get_or_insert_with(Instant::now);
        drop(state);
        let number = generation.to_string();
        let change = &self.changes[usize::from(generation % 2 == 0)];
        let change = serde_json::to_vec(&RouteChange { from: after, generation, ..change.clone() })?;
        let Text(before, behind) = &self.texts[usize::from(generation % 2 == 0)];
        let parts: [&[u8]; 3] =
            if is_change { [&change, &[], &[]] } else { [before, number.as_bytes(), behind] };
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        for part in parts {
            stream.write_all(part)?;
        }
        Ok(())
    }

    /// Waits until the edge says that it uses this generation.
    fn wait_reported(&self, generation: u64) -> anyhow::Result<()> {
        let state = self.lock();
        let waited = self.news.wait_timeout_while(state, SEEN, |state| state.reported < generation);
        ensure!(!waited.unwrap_or_else(PoisonError::into_inner).1.timed_out(), "the edge does not report");
        Ok(())
    }
}

/// Measures and prints; `false` when a limit is missed or a request failed.
pub(crate) fn run_command(arguments: &RoutesArguments) -> anyhow::Result<bool> {
    ensure!((2..=50_000).contains(&arguments.hosts), "hosts must be 2 to 50000");
    ensure!((1..=256).contains(&arguments.workers), "workers must be 1 to 256");
    let program = arguments.programs.programs().havred.context("--havred is needed")?;
    let is_pinned = arguments.workers == 1;
    if is_pinned {
        pin(1)?;
    }
    let folder = Folder::create()?;
    let pem = files::certificate(&[HOST.to_owned()])?;
    let www = files::write(&folder.0, &pem)?;
    let upstream = Upstream::start()?;
    let site = Site {
        folder: &folder.0,
        www: &www,
        pem: &pem,
        upstream: upstream.address,
        core: is_pinned.then_some(0),
        workers: arguments.workers,
    };
    let mut control = None;
    let proxy = havre::start_under_control(&program, &site, arguments.hosts, |table, socket| {
        control = Some(Control::start(table, socket, arguments.whole)?);
        Ok(())
    })?;
    let control = control.context("start control")?;
    wait_ready(&proxy, &folder.0)?;
    control.wait_reported(1)?;
    let megabytes = (control.texts[0].0.len() + control.texts[0].1.len()) as f64 / 1e6;
    println!("{} hosts, {} worker(s); table of {megabytes:.1} MB", arguments.hosts, arguments.workers);

    let seen = times(&control, &proxy, arguments.changes)?;
    println!("a change is seen on {LOOKING} connections after {} ms", spread(&seen));
    let cost = under_load(&control, &proxy, arguments)?;
    println!(
        "{CHANGES} changes a second under full load: {} requests, {} failed",
        cost.requests, cost.failed
    );
    println!("throughput with them / without: {}", spread(&cost.shares));
    println!(
        "processor time of the edge: {:.0} % of a core without, {:.0} % with",
        median(&cost.cpu[0]),
        median(&cost.cpu[1])
    );
    let late = median(&seen) > arguments.limit_ms;
    let slow = median(&cost.shares) < arguments.limit_throughput;
    for (is_missed, what) in [
        (late, "a change is seen too late"),
        (slow, "changes cost too much"),
        (cost.failed > 0, "requests failed"),
    ] {
        if is_missed {
            eprintln!("PROBLEM {what}");
        }
    }
    Ok(!late && !slow && cost.failed == 0)
}

/// What changes cost users.
#[derive(Debug, Default)]
struct Cost {
    requests: u64,
    failed: u64,
    /// Throughput with changes, as a part of that without, by round.
    shares: Vec<f64>,
    /// Percent of a core, without changes and with them, by round.
    cpu: [Vec<f64>; 2],
}

/// Rounds of full load without and with changes.
fn under_load(control: &Arc<Control>, proxy: &Proxy, arguments: &RoutesArguments) -> anyhow::Result<Cost> {
    let seconds = Duration::try_from_secs_f64(arguments.seconds)?;
    let mut plan = Plan { connections: 64, ..Plan::get(proxy.plain, HOST, "/200") };
    plan.kept_requests = (0..arguments.hosts).map(|number| get(&havre::host(number), "/200", "")).collect();
    let pids = with_descendants(&[proxy.child.id()])?;
    let mut cost = Cost::default();
    for round in 0..arguments.rounds {
        let mut per_second = [0.0; 2];
        // In turn, so that a slower machine does not meet the same one each time.
        for with_changes in [round % 2 == 0, round % 2 == 1] {
            let is_over = Arc::new(AtomicBool::new(false));
            let changer = with_changes.then(|| change_steadily(Arc::clone(control), Arc::clone(&is_over)));
            let before = CpuTimes::read(&pids);
            let end = Instant::now() + seconds;
            let tally = run(&plan, |now| now >= end, |_| {})?;
            let cpu = CpuTimes::read(&pids).since(&before);
            is_over.store(true, Ordering::Relaxed);
            if let Some(changer) = changer {
                let changes = changer.join().map_err(|_| anyhow::anyhow!("the changes stopped"))?;
                ensure!(changes > 0, "not one change was made");
                let generation = control.lock().generation;
                control.wait_reported(generation)?;
            }
            cost.requests += tally.requests;
            cost.failed += tally.failures.total();
            per_second[usize::from(with_changes)] = tally.report().ok_per_second;
            cost.cpu[usize::from(with_changes)].push(cpu.as_secs_f64() / seconds.as_secs_f64() * 100.0);
        }
        cost.shares.push(per_second[1] / per_second[0]);
    }
    Ok(cost)
}

fn median(values: &[f64]) -> f64 {
    ratio::spread(values).map_or(0.0, |spread| spread.median)
}

fn spread(values: &[f64]) -> String {
    let Some(Spread { median, lower, upper }) = ratio::spread(values) else { return "nothing".to_owned() };
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{median:.2} [{lower:.2}..{upper:.2}], at most {most:.2}")
}

/// Milliseconds from the first byte of a table to the moment when every looking connection has had an answer by it.
fn times(control: &Control, proxy: &Proxy, changes: usize) -> anyhow::Result<Vec<f64>> {
    let request = get(&havre::host(0), "/200", "");
    let wanted = Wanted { release: true, ..Wanted::default() };
    let connect = || Exchange::connect(proxy.plain, Duration::from_secs(5));
    let mut looking: Vec<Exchange> = (0..LOOKING).map(|_| connect()).collect::<anyhow::Result<_>>()?;
    let mut times = Vec::with_capacity(changes);
    for _ in 0..changes {
        let (generation, release) = control.change();
        let limit = Instant::now() + SEEN;
        for exchange in &mut looking {
            loop {
                let answer = exchange.ask(&request, wanted, |_| {})?;
                ensure!(answer.status == 200, "status {}", answer.status);
                if answer.release.as_deref() == Some(release) {
                    break;
                }
                if Instant::now() > limit {
                    bail!("generation {generation} is not seen");
                }
            }
        }
        let seen = Instant::now();
        let sent = control.lock().sent.context("the table was not sent")?;
        times.push(seen.saturating_duration_since(sent).as_secs_f64() * 1e3);
        control.wait_reported(generation)?;
    }
    Ok(times)
}

fn change_steadily(control: Arc<Control>, is_over: Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    std::thread::spawn(move || {
        let mut changes = 0;
        while !is_over.load(Ordering::Relaxed) {
            control.change();
            changes += 1;
            std::thread::sleep(Duration::from_secs(1) / CHANGES);
        }
        changes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_any_generation() {
        let table = RouteTable { version: 1, generation: 4, ..RouteTable::default() };
        let Text(before, behind) = Text::of(&table).unwrap();
        let text = [before.as_slice(), b"12", behind.as_slice()].concat();
        let read: RouteTable = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, RouteTable { generation: 12, ..table });
    }
}
