//! `havre-bench edge-routes`: how soon a change among thousands of routes reaches users, and what ten changes a second cost
//! them; with `--site`, the same of a static site that is switched from one published folder to another (`switch`). It
//! plays control for a real edge. Tests: at the end of the file.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use havre_api::route_change::RouteChange;
use havre_api::route_table::RouteTable;

use super::peers::{HOST, Proxy, Site, havre};
use super::ratio::Spread;
use super::switch::{RELEASES, Switch};
use super::{Folder, ProgramArguments, Upstream, files, pin, ratio, switch, wait_ready};
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
    /// Host 0 is a static site, and a change is the switch from one published folder to another.
    #[arg(long)]
    site: bool,
    /// Fail when a change is seen later, in milliseconds. Left out: 10 for the median; with `--site` 50, and for every one.
    #[arg(long)]
    limit_ms: Option<f64>,
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
    /// The first table, and what it is changed to.
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
    /// Serves the first of these, then one and the other in turn, on `socket`.
    fn start(tables: &[RouteTable; 2], socket: &Path, is_whole: bool) -> anyhow::Result<Arc<Self>> {
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

    /// Makes the next change; odd generations are the first table. Returns the release that users have seen, and the one
    /// that they must see.
    fn change(&self) -> (u64, [&'static str; 2]) {
        let mut state = self.lock();
        state.generation += 1;
        state.sent = None;
        self.news.notify_all();
        let [first, second] = RELEASES;
        (state.generation, if state.generation % 2 == 1 { [second, first] } else { [first, second] })
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
        if is_change && self.is_whole {
            drop(state);
            return Ok(
                stream.write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?
            );
        }
        state.sent.get_or_insert_with(Instant::now);
        drop(state);
        let number = generation.to_string();
        let mut change = self.changes[usize::from(generation % 2 == 0)].clone();
        if (generation - after).is_multiple_of(2) {
            // There and back again while the edge was busy.
            change = RouteChange { version: change.version, ..RouteChange::default() };
        }
        let change = serde_json::to_vec(&RouteChange { from: after, generation, ..change })?;
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
    let folders = arguments.site.then(|| switch::write(&folder.0)).transpose()?;
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
    let hosts = (arguments.hosts, folders.as_ref());
    let proxy = havre::start_under_control(&program, &site, hosts, |tables, socket| {
        control = Some(Control::start(tables, socket, arguments.whole)?);
        Ok(())
    })?;
    let control = control.context("start control")?;
    wait_ready(&proxy, &folder.0)?;
    control.wait_reported(1)?;
    measure(&control, &proxy, arguments)
}

/// Measures and prints; `false` as [`run_command`].
fn measure(control: &Arc<Control>, proxy: &Proxy, arguments: &RoutesArguments) -> anyhow::Result<bool> {
    let megabytes = (control.texts[0].0.len() + control.texts[0].1.len()) as f64 / 1e6;
    println!("{} hosts, {} worker(s); table of {megabytes:.1} MB", arguments.hosts, arguments.workers);
    let Seen { millis: seen, mut torn } = times(control, proxy, arguments)?;
    println!("a change is seen on {LOOKING} connections after {} ms", spread(&seen));
    let is_over = Arc::new(AtomicBool::new(false));
    let watch = arguments.site.then(|| switch::watch(proxy.plain, &havre::host(0), Arc::clone(&is_over)));
    let cost = under_load(control, proxy, arguments);
    is_over.store(true, Ordering::Relaxed);
    if let Some(watch) = watch {
        let watched = watch.join().map_err(|_| anyhow!("the watch of the site stopped"))??;
        ensure!(watched.answers > 0, "the site was not watched");
        torn += watched.torn;
        println!("one connection saw {} answers of the site under load", watched.answers);
    }
    let cost = cost?;
    println!("{torn} answers were of neither release alone, or of the old one after the new one");
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
    let late = if arguments.site { most(&seen) } else { median(&seen) };
    let limit = arguments.limit_ms.unwrap_or(if arguments.site { 50.0 } else { 10.0 });
    let problems = [
        (late > limit, "a change is seen too late"),
        (torn > 0, "a change is not atomic"),
        (median(&cost.shares) < arguments.limit_throughput, "changes cost too much"),
        (cost.failed > 0, "requests failed"),
    ];
    for (_, what) in problems.iter().filter(|(is_missed, _)| *is_missed) {
        eprintln!("PROBLEM {what}");
    }
    Ok(problems.iter().all(|(is_missed, _)| !is_missed))
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
                let changes = changer.join().map_err(|_| anyhow!("the changes stopped"))?;
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
    format!("{median:.2} [{lower:.2}..{upper:.2}], at most {:.2}", most(values))
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// What looking connections have seen.
#[derive(Debug, Default)]
struct Seen {
    /// From the first byte of a table to the moment when every one has had an answer by it, for each change.
    millis: Vec<f64>,
    /// See [`Switch`].
    torn: u64,
}

fn times(control: &Control, proxy: &Proxy, arguments: &RoutesArguments) -> anyhow::Result<Seen> {
    let request = get(&havre::host(0), if arguments.site { "/" } else { "/200" }, "");
    let connect = || Exchange::connect(proxy.plain, Duration::from_secs(5));
    let mut looking: Vec<Exchange> = (0..LOOKING).map(|_| connect()).collect::<anyhow::Result<_>>()?;
    let mut seen = Seen::default();
    for number in 0..arguments.changes {
        let (generation, releases) = control.change();
        let mut switch = Switch::between(releases);
        let limit = Instant::now() + SEEN;
        for exchange in &mut looking {
            while !switch.take(release(exchange, &request, arguments.site)?.as_deref()) {
                ensure!(Instant::now() <= limit, "generation {generation} is not seen");
            }
        }
        let all = Instant::now();
        let sent = control.lock().sent.context("the table was not sent")?;
        seen.millis.push(all.saturating_duration_since(sent).as_secs_f64() * 1e3);
        if arguments.site {
            // Nor may any other file be of the old release now.
            let request = get(&havre::host(0), &switch::part(number), "");
            for exchange in &mut looking {
                switch.take(release(exchange, &request, true)?.as_deref());
            }
        }
        seen.torn += switch.torn;
        control.wait_reported(generation)?;
    }
    Ok(seen)
}

/// Of which release the answer is; none where it contradicts itself.
fn release(exchange: &mut Exchange, request: &[u8], is_site: bool) -> anyhow::Result<Option<String>> {
    let answer = exchange.ask(request, switch::WANTED, |_| {})?;
    ensure!(answer.status == 200, "status {}", answer.status);
    let release = if is_site { switch::release_of(&answer) } else { answer.release.as_deref() };
    Ok(release.map(ToOwned::to_owned))
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
