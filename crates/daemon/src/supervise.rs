//! The role `supervise`, for machines without systemd (containers, demos, tests): holds the edge's listening sockets,
//! starts `control` and `edge` as children and starts each again when it ends. Holding the sockets means that no
//! connection is refused while the edge restarts: it waits in the queue. An edge that ends because it has handed over
//! leaves its successor, which becomes our child (`PR_SET_CHILD_SUBREAPER`) and is kept in its place.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use havre_edge::config::EdgeConfig;
use havre_edge::listen::{PLAIN_NAME, TLS_NAME};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};

use crate::config::Config;
use crate::signals;

/// Pause before a child is started again: short enough that nobody notices.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause after a child that ended soon after its start twice in a row: long enough not to spin.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// A child that ran this long counts as having worked.
const WORKED: Duration = Duration::from_secs(2);
/// Longest wait for a child to end by itself after SIGTERM.
const STOP: Duration = Duration::from_secs(45);
/// How often an adopted process is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Runs until SIGTERM, then stops both children.
pub(crate) fn run(config: &Config, path: &Path) -> anyhow::Result<()> {
    let sockets = listen(&config.edge)?;
    // Successors of edges become children of ours when their predecessors end.
    set_child_subreaper(Some(rustix::process::getpid())).context("adopt successors")?;
    let program = std::env::current_exe().context("find the program itself")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let control = keep("control", stopped.clone(), || Ok(command(&program, "control", path)));
        let edge = keep("edge", stopped, || edge_command(&program, path, &sockets));
        let signal = async {
            let heard = signals::stopped().await;
            stop.send_replace(true);
            heard
        };
        let (control, edge, signal) = tokio::join!(control, edge, signal);
        control.and(edge).and(signal)
    })
}

/// A socket for the edge and its name in the hand-over.
struct Socket {
    socket: OwnedFd,
    name: &'static str,
}

fn listen(config: &EdgeConfig) -> anyhow::Result<Vec<Socket>> {
    let plain = config.listen.iter().map(|address| (address, PLAIN_NAME));
    let https = config.https.iter().map(|address| (address, TLS_NAME));
    let bind = |(address, name): (&SocketAddr, &'static str)| {
        let listener = havre_edge::listen::bind(*address).with_context(|| format!("listen on {address}"))?;
        Ok(Socket { socket: OwnedFd::from(listener), name })
    };
    plain.chain(https).map(bind).collect()
}

fn command(program: &Path, role: &str, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(role).arg("--config").arg(config).kill_on_drop(true);
    command
}

/// The edge gets the sockets as systemd would hand them over.
fn edge_command(program: &Path, config: &Path, sockets: &[Socket]) -> anyhow::Result<Command> {
    let mut command = command(program, "edge", config);
    let names: Vec<&str> = sockets.iter().map(|socket| socket.name).collect();
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    command.env(havre_edge::listen::PARENT_VARIABLE, std::process::id().to_string());
    let copies = sockets.iter().map(|socket| socket.socket.try_clone().context("copy a socket"));
    let copies = copies.collect::<anyhow::Result<Vec<_>>>()?;
    havre_edge::syscall::hand_over(command.as_std_mut(), &copies).context("hand the sockets to the edge")?;
    Ok(command)
}

/// Keeps one child running until `stop`, then ends it. A child that cannot be started is tried again: the machine may
/// have been out of memory or process ids for a moment.
async fn keep(
    role: &str,
    mut stop: tokio::sync::watch::Receiver<bool>,
    mut make: impl FnMut() -> anyhow::Result<Command>,
) -> anyhow::Result<()> {
    let mut early_ends = 0;
    loop {
        let started = std::time::Instant::now();
        match make().and_then(|mut command| Ok(command.spawn()?)) {
            Err(error) => {
                tracing::error!(role, error = %format!("{error:#}"), "could not start a role; trying again")
            }
            Ok(child) => {
                let mut running = Running::Child(child);
                loop {
                    tokio::select! {
                        status = running.wait() => {
                            let status = status.with_context(|| format!("wait for {role}"))?;
                            if let Some(successor) = successor(role) {
                                tracing::info!(role, process = successor.as_raw_nonzero(), "a successor has taken over");
                                running = Running::Adopted(successor);
                                continue;
                            }
                            tracing::warn!(role, %status, "a role ended by itself; starting it again");
                        }
                        _ = stop.wait_for(|stop| *stop) => return end_all(role, running).await,
                    }
                    break;
                }
            }
        }
        early_ends = if started.elapsed() >= WORKED { 0 } else { early_ends + 1 };
        let pause = if early_ends < 2 { PAUSE } else { LONG_PAUSE };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// A process that plays a role.
enum Running {
    /// Started by us.
    Child(Child),
    /// Started by one that we had started, and which has ended since.
    Adopted(Pid),
}

impl Running {
    fn id(&self) -> Option<Pid> {
        match self {
            Self::Child(child) => child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw),
            Self::Adopted(id) => Some(*id),
        }
    }

    /// Waits for its end; what it says of that is for people.
    async fn wait(&mut self) -> std::io::Result<String> {
        match self {
            Self::Child(child) => child.wait().await.map(|status| status.to_string()),
            Self::Adopted(id) => loop {
                // Nobody tells us of the end of a process that we have not started.
                match waitpid(Some(*id), WaitOptions::NOHANG)? {
                    Some((_, status)) => return Ok(format!("{status:?}")),
                    None => tokio::time::sleep(GLANCE).await,
                }
            },
        }
    }
}

/// The process that plays `role` although we have not started it: the successor of one that has just ended. There is
/// none for control, which does not hand over.
fn successor(role: &str) -> Option<Pid> {
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything, so fields are counted from its end.
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?.parse::<u32>().ok()?);
        let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is_role = arguments.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes());
        (parent == own && state != "Z" && is_role).then(|| Pid::from_raw(id)).flatten()
    })
}

async fn end(role: &str, mut running: Running) -> anyhow::Result<()> {
    let Some(id) = running.id() else { return Ok(()) };
    kill_process(id, Signal::TERM).with_context(|| format!("stop {role}"))?;
    match tokio::time::timeout(STOP, running.wait()).await {
        Ok(status) => drop(status.with_context(|| format!("wait for {role}"))?),
        Err(_) => {
            tracing::warn!(role, "did not end in {} s; killed", STOP.as_secs());
            kill_process(id, Signal::KILL).with_context(|| format!("kill {role}"))?;
            running.wait().await.with_context(|| format!("wait for {role}"))?;
        }
    }
    Ok(())
}

/// Ends a role, and who has taken over from it meanwhile.
async fn end_all(role: &str, running: Running) -> anyhow::Result<()> {
    end(role, running).await?;
    while let Some(successor) = successor(role) {
        end(role, Running::Adopted(successor)).await?;
    }
    Ok(())
}
