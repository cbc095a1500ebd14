//! The role `supervise`, for machines without systemd (containers, demos, tests): holds the edge's listening sockets,
//! starts `control` and `edge` as children and starts each again when it ends. Holding the sockets means that no
//! connection is refused while the edge restarts: it waits in the queue.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use havre_edge::config::EdgeConfig;
use havre_edge::listen::{PLAIN_NAME, TLS_NAME};
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
/// First inherited descriptor by systemd's protocol (sd_listen_fds(3)).
const FIRST_FD: i32 = 3;

/// Runs until SIGTERM, then stops both children.
pub(crate) fn run(config: &Config, path: &Path) -> anyhow::Result<()> {
    let sockets = listen(&config.edge)?;
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
    // Copies above the range that the child wants, so that moving one never overwrites another.
    let above = FIRST_FD + i32::try_from(sockets.len()).context("count the sockets")?;
    let copies: Vec<OwnedFd> = sockets
        .iter()
        .map(|socket| rustix::io::fcntl_dupfd_cloexec(&socket.socket, above).context("copy a socket"))
        .collect::<anyhow::Result<_>>()?;
    hand_over(&mut command, copies);
    Ok(command)
}

/// Moves the sockets to descriptors 3, 4, … of the child, as sd_listen_fds(3) asks.
#[expect(unsafe_code, reason = "descriptors can be placed only between fork and exec")]
fn hand_over(command: &mut Command, sockets: Vec<OwnedFd>) {
    let place = move || {
        for (target, socket) in (FIRST_FD..).zip(&sockets) {
            // SAFETY: dup2 is async-signal-safe; both descriptors are valid in the child, which has its own table.
            if unsafe { libc::dup2(socket.as_raw_fd(), target) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure calls only dup2, which is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(place) };
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
            Ok(mut child) => tokio::select! {
                status = child.wait() => {
                    let status = status.with_context(|| format!("wait for {role}"))?;
                    tracing::warn!(role, %status, "a role ended by itself; starting it again");
                }
                _ = stop.wait_for(|stop| *stop) => return end(role, child).await,
            },
        }
        early_ends = if started.elapsed() >= WORKED { 0 } else { early_ends + 1 };
        let pause = if early_ends < 2 { PAUSE } else { LONG_PAUSE };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

async fn end(role: &str, mut child: Child) -> anyhow::Result<()> {
    if let Some(pid) =
        child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
    {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .with_context(|| format!("stop {role}"))?;
    }
    match tokio::time::timeout(STOP, child.wait()).await {
        Ok(status) => {
            status.with_context(|| format!("wait for {role}"))?;
        }
        Err(_) => {
            tracing::warn!(role, "did not end in {} s; killed", STOP.as_secs());
            child.kill().await.with_context(|| format!("kill {role}"))?;
        }
    }
    Ok(())
}
