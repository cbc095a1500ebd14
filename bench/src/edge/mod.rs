//! `havre-bench edge`: the edge beside its peers, in interleaved rounds on the same machine. One worker each on one core,
//! load and upstream on another. Tests: `cell.rs`, `h2load.rs`, `ratio.rs`, `report.rs`.

mod cell;
mod files;
mod h2load;
mod measure;
mod memory;
mod peers;
mod ratio;
mod report;
mod routes;
mod switch;

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
use measure::Bench;
pub(crate) use memory::{MemoryArguments, run_command as run_memory_command};
use peers::{HOST, Programs, Proxy, Site, havre, log_file};
use report::Report;
pub(crate) use routes::{RoutesArguments, run_command as run_routes_command};

/// A proxy must serve in this time.
const READY: Duration = Duration::from_secs(30);

/// Arguments of `havre-bench edge`.
#[derive(Debug, Args)]
pub(crate) struct EdgeArguments {
    #[command(flatten)]
    programs: ProgramArguments,
    /// Each round runs every cell once on every proxy.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of one measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only these cells, by name; may be repeated.
    #[arg(long = "cell")]
    cells: Vec<String>,
    /// Worker threads of each proxy. With two or more nothing is bound to a core.
    #[arg(long, default_value_t = 1)]
    workers: usize,
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
    /// Fail when a floor is missed.
    #[arg(long)]
    floors: bool,
}

/// Where programs are.
#[derive(Debug, Args)]
pub(crate) struct ProgramArguments {
    /// Release build of `havred`; left out, only the peers run.
    #[arg(long)]
    havred: Option<OsString>,
    #[arg(long, default_value = "nginx")]
    nginx: OsString,
    #[arg(long, default_value = "haproxy")]
    haproxy: OsString,
    #[arg(long)]
    caddy: Option<OsString>,
    #[arg(long)]
    traefik: Option<OsString>,
    #[arg(long)]
    envoy: Option<OsString>,
}

impl ProgramArguments {
    fn programs(&self) -> Programs {
        Programs {
            nginx: self.nginx.clone(),
            haproxy: self.haproxy.clone(),
            caddy: self.caddy.clone(),
            traefik: self.traefik.clone(),
            envoy: self.envoy.clone(),
            havred: self.havred.clone(),
        }
    }
}

/// Runs the rounds and prints the tables; `false` when a request failed or a floor is missed.
pub(crate) fn run_command(arguments: &EdgeArguments) -> anyhow::Result<bool> {
    let seconds = Duration::try_from_secs_f64(arguments.seconds)?;
    ensure!((1..=100).contains(&arguments.rounds), "rounds must be 1 to 100");
    ensure!((1..=256).contains(&arguments.workers), "workers must be 1 to 256");
    let cells = cell::choose(&arguments.cells)?;
    let is_pinned = arguments.workers == 1;
    if is_pinned {
        pin(arguments.load_core)?;
    }
    let folder = Folder::create()?;
    let pem = files::certificate(&[HOST.to_owned(), peers::FILES_HOST.to_owned()])?;
    let www = files::write(&folder.0, &pem)?;
    let upstream = Upstream::start()?;
    let programs = arguments.programs.programs();
    let site = Site {
        folder: &folder.0,
        www: &www,
        pem: &pem,
        upstream: upstream.address,
        core: is_pinned.then_some(arguments.proxy_core),
        workers: arguments.workers,
    };
    let hosts: Vec<usize> = cells.iter().filter_map(|cell| cell.work.hosts()).collect();
    let proxies = peers::start(&programs, &site, &hosts)?;
    for proxy in &proxies {
        wait_ready(proxy, &folder.0)?;
    }
    let bench = Bench { proxies, upstream, seconds, is_realtime: !arguments.no_realtime };
    let mut report = Report::new(peers::versions(&programs), arguments, cells.clone());
    for round in 0..arguments.rounds {
        for cell in &cells {
            bench.round(*cell, round, &mut report.measurements)?;
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
    let problems = report.problems(arguments.floors);
    for problem in &problems {
        eprintln!("PROBLEM {problem}");
    }
    Ok(problems.is_empty())
}

/// Binds this process, and what it starts, to one core.
fn pin(core: usize) -> anyhow::Result<()> {
    ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("run on core {core}"))
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
            .args(["upstream", "--listen", "127.0.0.1:0", "--body", "200,10240,67108864"])
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
    let host = if proxy.hosts.is_some() { havre::host(0) } else { HOST.to_owned() };
    loop {
        let answer = Exchange::connect(proxy.plain, Duration::from_secs(5)).and_then(|mut exchange| {
            exchange.ask(&get(&host, "/200", "Connection: close\r\n"), Wanted::default(), |_| {})
        });
        let why = match answer {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            let log = std::fs::read_to_string(log_file(proxy.name, folder)).unwrap_or_default();
            bail!("{} does not serve: {why}\n{log}", proxy.name);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
