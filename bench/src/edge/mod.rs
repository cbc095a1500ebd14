//! `havre-bench edge`: the edge beside nginx and HAProxy, in interleaved rounds on the same machine. One worker each on one
//! core, load and upstream on another. Tests: at the end of the file, `ratio.rs`, `report.rs`.

mod proxies;
mod ratio;
mod report;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use rustix::thread::CpuSet;

use crate::http::answer::Wanted;
use crate::http::exchange::{Exchange, get};
use crate::load::{Pace, Plan, run};
use crate::process::{CpuTimes, with_descendants};
use proxies::{HOST, Programs, Proxy};
use report::{Measurement, Report};

/// A proxy must serve in this time.
const READY: Duration = Duration::from_secs(20);
/// Load before each measurement, which opens the connections on both sides.
const WARM_UP: Duration = Duration::from_millis(300);
/// Priority under SCHED_RR for the latency cell.
const PRIORITY: &str = "10";

/// Arguments of `havre-bench edge`.
#[derive(Debug, Args)]
pub(crate) struct EdgeArguments {
    /// Release build of `havred`; left out, only the peers run.
    #[arg(long)]
    havred: Option<OsString>,
    #[arg(long, default_value = "nginx")]
    nginx: OsString,
    #[arg(long, default_value = "haproxy")]
    haproxy: OsString,
    /// Each round runs every cell once on every proxy.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of one measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Core of the proxies.
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// Core of load and upstream.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Measure latency with ordinary scheduling too. Other programs on the cores then show in it.
    #[arg(long)]
    no_realtime: bool,
    /// Write all figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fail when the CPU per request of Havre is more than this part of that of nginx or of HAProxy.
    #[arg(long)]
    max_cpu_ratio: Option<f64>,
}

/// One kind of measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) name: &'static str,
    path: &'static str,
    body: u64,
    pace: Pace,
    realtime: bool,
}

/// What issue and method ask for.
pub(super) const CELLS: [Cell; 3] = [
    Cell { name: "200 B, closed loop", path: "/200", body: 200, pace: Pace::Closed, realtime: false },
    Cell { name: "10 KB, closed loop", path: "/10240", body: 10_240, pace: Pace::Closed, realtime: false },
    Cell {
        name: "200 B at 3000/s",
        path: "/200",
        body: 200,
        pace: Pace::Open { per_second: 3000.0 },
        realtime: true,
    },
];
const CONNECTIONS: usize = 64;

/// Runs the rounds and prints the tables; `false` when a request failed or a limit is exceeded.
pub(crate) fn run_command(arguments: &EdgeArguments) -> anyhow::Result<bool> {
    let seconds = Duration::try_from_secs_f64(arguments.seconds)?;
    ensure!((1..=100).contains(&arguments.rounds), "rounds must be 1 to 100");
    pin(arguments.load_core)?;
    let folder = Folder::create()?;
    let upstream = Upstream::start()?;
    let programs = Programs {
        nginx: arguments.nginx.clone(),
        haproxy: arguments.haproxy.clone(),
        havred: arguments.havred.clone(),
    };
    let versions = versions(&programs);
    let proxies = proxies::start(&programs, &folder.0, upstream.address, arguments.proxy_core)?;
    for proxy in &proxies {
        wait_ready(proxy, &folder.0)?;
    }
    let bench = Bench { proxies, upstream, seconds, realtime: !arguments.no_realtime };
    let mut report = Report::new(versions, arguments);
    for round in 0..arguments.rounds {
        for cell in CELLS {
            bench.round(cell, round, &mut report.measurements)?;
        }
        eprintln!("round {} of {} done", round + 1, arguments.rounds);
    }
    drop(bench);
    report.finish();
    print!("{}", report.markdown());
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let problems = report.problems(arguments.max_cpu_ratio);
    for problem in &problems {
        eprintln!("PROBLEM {problem}");
    }
    Ok(problems.is_empty())
}

/// Everything that runs.
struct Bench {
    proxies: Vec<Proxy>,
    upstream: Upstream,
    seconds: Duration,
    realtime: bool,
}

impl Bench {
    /// One cell on every proxy, in the order of this round.
    fn round(&self, cell: Cell, round: usize, measurements: &mut Vec<Measurement>) -> anyhow::Result<()> {
        for place in ratio::order(self.proxies.len(), round) {
            let proxy = &self.proxies[place];
            let pids = with_descendants(&[proxy.child.id()])?;
            let everybody: Vec<u32> =
                pids.iter().copied().chain([self.upstream.child.id(), std::process::id()]).collect();
            let is_realtime = cell.realtime && self.realtime;
            if is_realtime {
                schedule(&everybody, &["--rr"], PRIORITY)?;
            }
            let result = self.measure(cell, proxy, &pids);
            if is_realtime {
                schedule(&everybody, &["--other"], "0")?;
            }
            let measurement = result.with_context(|| format!("measure {} at {}", cell.name, proxy.name))?;
            measurements.push(Measurement { round, ..measurement });
        }
        Ok(())
    }

    fn measure(&self, cell: Cell, proxy: &Proxy, pids: &[u32]) -> anyhow::Result<Measurement> {
        let plan =
            Plan { connections: CONNECTIONS, pace: cell.pace, ..Plan::get(proxy.address, HOST, cell.path) };
        let end = Instant::now() + WARM_UP;
        run(&plan, |now| now >= end, |_| {})?;
        let before = CpuTimes::read(pids);
        let end = Instant::now() + self.seconds;
        let tally = run(&plan, |now| now >= end, |_| {})?;
        let cpu = CpuTimes::read(pids).since(&before);
        let report = tally.report();
        let is_short = tally.body_bytes != tally.ok * cell.body;
        Ok(Measurement {
            cell: cell.name,
            round: 0,
            proxy: proxy.name,
            per_second: report.ok_per_second,
            cpu_us: cpu.as_secs_f64() * 1e6 / (tally.ok.max(1) as f64),
            p50_ms: report.latency_ms.p50,
            p99_ms: report.latency_ms.p99,
            requests: tally.requests,
            failed: tally.failures.total() + u64::from(is_short),
            not_started: tally.not_started,
            load: report,
        })
    }
}

/// Binds this process, and what it starts, to one core.
fn pin(core: usize) -> anyhow::Result<()> {
    ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("run on core {core}"))
}

/// Changes how the kernel schedules all threads of `pids`.
fn schedule(pids: &[u32], policy: &[&str], priority: &str) -> anyhow::Result<()> {
    for pid in pids {
        let mut command = Command::new("chrt");
        command.args(policy).args(["--all-tasks", "--pid", priority, &pid.to_string()]);
        let output = command.output().context("start chrt")?;
        if !output.status.success() {
            bail!(
                "change the scheduling of process {pid} (--no-realtime goes without): {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}

/// Our own upstream in a process of its own.
struct Upstream {
    address: SocketAddr,
    child: Child,
}

impl Upstream {
    fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find our own program")?;
        let mut child = Command::new(program)
            .args(["upstream", "--listen", "127.0.0.1:0", "--body", "200,10240"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the upstream")?;
        let output = child.stdout.take().context("read from the upstream")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("understand the address of the upstream")?;
        Ok(Self { address, child })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn create() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("havre-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wait_ready(proxy: &Proxy, folder: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        let answer = Exchange::connect(proxy.address, Duration::from_secs(5)).and_then(|mut exchange| {
            exchange.ask(&get(HOST, "/200", "Connection: close\r\n"), Wanted::default(), |_| {})
        });
        let why = match answer {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            let log = std::fs::read_to_string(folder.join(format!("{}.log", proxy.name))).unwrap_or_default();
            bail!("{} does not serve: {why}\n{log}", proxy.name);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What each program says of itself.
fn versions(programs: &Programs) -> Vec<String> {
    let ask = |program: &OsString, option: &str| {
        let output = Command::new(program).arg(option).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    };
    let peers = [ask(&programs.nginx, "-v"), ask(&programs.haproxy, "-v")];
    let own = programs.havred.as_ref().and_then(|program| ask(program, "--version"));
    peers.into_iter().chain([own]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_for_the_edge_is_what_its_documentation_says() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9000));
        let json = serde_json::to_value(proxies::table(address)).unwrap();
        assert_eq!(json["services"]["app"]["upstreams"][0]["address"], "127.0.0.1:9000");
        assert_eq!(json["services"]["app"]["upstreams"][0]["role"], "live");
        assert_eq!(json["routes"][0]["host"], HOST);
    }
}
