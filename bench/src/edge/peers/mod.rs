//! Starts what is compared, each with one worker, kept upstream connections, `X-Forwarded-For` and `-Proto` set, TLS with
//! the same certificate, and access logs off (on in our own edge, which ships so). Tests: `edge/mod.rs`.

mod caddy;
mod envoy;
mod haproxy;
pub(super) mod havre;
mod nginx;
mod traefik;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use super::files::Pem;

/// Host that all proxies bring to the upstream; each has a second one, so that routing is not free.
pub(super) const HOST: &str = "bench.test";
/// Host of files.
pub(super) const FILES_HOST: &str = "files.test";
const OTHER_HOST: &str = "other.test";

/// Where programs are; those left out are not measured.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) nginx: OsString,
    pub(super) haproxy: OsString,
    pub(super) caddy: Option<OsString>,
    pub(super) traefik: Option<OsString>,
    pub(super) envoy: Option<OsString>,
    pub(super) havred: Option<OsString>,
}

/// What each proxy is made from.
#[derive(Debug)]
pub(super) struct Site<'a> {
    /// Folder for configurations, certificates and logs.
    pub(super) folder: &'a Path,
    /// Folder of the files to serve.
    pub(super) www: &'a Path,
    pub(super) pem: &'a Pem,
    pub(super) upstream: SocketAddr,
    /// Core of the proxies; `None` leaves them free.
    pub(super) core: Option<usize>,
    pub(super) workers: usize,
}

/// A running proxy, ended when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) plain: SocketAddr,
    pub(super) secure: SocketAddr,
    /// Serves files.
    pub(super) has_files: bool,
    /// Number of hosts it was made with, for the cells about that; it takes no part in others.
    pub(super) hosts: Option<usize>,
    pub(super) child: Child,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SIGTERM, so that masters take their workers with them.
        let process = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        for _ in 0..40 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts all proxies; `hosts` are the sizes of further edges of ours.
///
/// # Errors
/// A program is missing or does not start.
pub(super) fn start(programs: &Programs, site: &Site<'_>, hosts: &[usize]) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = vec![nginx::start(&programs.nginx, site)?, haproxy::start(&programs.haproxy, site)?];
    let others = [
        (&programs.caddy, caddy::start as fn(&OsString, &Site<'_>) -> anyhow::Result<Proxy>),
        (&programs.traefik, traefik::start),
        (&programs.envoy, envoy::start),
        (&programs.havred, havre::start),
    ];
    for (program, start) in others {
        if let Some(program) = program {
            proxies.push(start(program, site)?);
        }
    }
    if let Some(program) = &programs.havred {
        for count in hosts {
            proxies.push(havre::start_with_hosts(program, site, *count)?);
        }
    }
    Ok(proxies)
}

/// What each program says of itself.
pub(super) fn versions(programs: &Programs) -> Vec<String> {
    let ask = |program: &OsString, option: &str| {
        let output = Command::new(program).arg(option).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| line.contains(|letter: char| letter.is_ascii_digit()))?;
        Some(line.trim().to_owned())
    };
    let name = |text: Option<String>, name: &str| {
        text.map(|text| if text.to_lowercase().contains(name) { text } else { format!("{name} {text}") })
    };
    let optional = |program: &Option<OsString>, option| program.as_ref().and_then(|one| ask(one, option));
    let all = [
        name(ask(&programs.nginx, "-v"), "nginx"),
        name(ask(&programs.haproxy, "-v"), "haproxy"),
        name(optional(&programs.caddy, "version"), "caddy"),
        name(optional(&programs.traefik, "version"), "traefik"),
        name(optional(&programs.envoy, "--version"), "envoy"),
        name(optional(&programs.havred, "--version"), "havred"),
    ];
    all.into_iter().flatten().collect()
}

/// Asks the kernel for a free port. Somebody could take it before the proxy does; then the proxy says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?)
}

/// A command that runs on the site's core.
fn command(program: &OsString, site: &Site<'_>) -> Command {
    let Some(core) = site.core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

fn spawn(name: &'static str, command: &mut Command, site: &Site<'_>) -> anyhow::Result<Child> {
    let log = fs::File::create(log_file(name, site.folder))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {name}"))
}

/// Where a proxy says what is wrong.
pub(super) fn log_file(name: &str, folder: &Path) -> PathBuf {
    folder.join(format!("{name}.log"))
}
