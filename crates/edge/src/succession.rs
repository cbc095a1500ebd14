//! Handing over to a successor without a refused or broken connection: the running edge starts the program again (by
//! then a newer one, perhaps), gives it its listening sockets and the lock of the state folder, and drains once the
//! successor serves. If the successor does not get that far, nothing has changed. It drains nothing itself (`role`).
//! Tests: `tests/it/succession.rs` of the daemon, which is a program.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::net::unix::pipe;
use tracing::warn;

use crate::listen::{self, PARENT_VARIABLE};
use crate::{notify, syscall};

/// Name of the descriptor that carries the lock of the state folder.
const LOCK: &str = "havre-state-lock";
/// Name of the descriptor on which a successor says that it serves.
const READY: &str = "havre-ready";
/// Longest wait for a successor to serve: it has tables to read, not networks to wait for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no successor; this edge goes on as before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuccessionError {
    /// The program did not start.
    #[error("start {} as the successor", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It ended, or closed its pipe.
    #[error("the successor ended before it served; its log says why")]
    Ended,
    /// It did not say anything.
    #[error("the successor did not serve within {} s; it was ended", PATIENCE.as_secs())]
    Silent,
}

/// What a successor needs, held since the start.
#[derive(Debug)]
pub(crate) struct Estate {
    program: PathBuf,
    arguments: Vec<OsString>,
    sockets: Vec<(String, OwnedFd)>,
    lock: OwnedFd,
}

/// A successor that serves.
#[derive(Debug)]
pub(crate) struct Successor {
    child: Child,
}

impl Estate {
    /// Notes how this program was started, before a newer one takes its place on disk, and copies the descriptors.
    pub(crate) fn new(sockets: Vec<(String, OwnedFd)>, lock: impl AsFd) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: std::env::args_os().skip(1).collect(),
            sockets,
            lock: lock.as_fd().try_clone_to_owned()?,
        })
    }

    /// Starts a successor and waits until it serves.
    ///
    /// # Errors
    /// It did not come to that; it is not running any more.
    pub(crate) async fn start(&self) -> Result<Successor, SuccessionError> {
        let failed = |source| SuccessionError::Start { program: self.program.clone(), source };
        let (mut child, ready) = self.spawn().map_err(failed)?;
        match tokio::time::timeout(PATIENCE, heard(ready)).await {
            Ok(true) => Ok(Successor { child }),
            outcome => {
                if let Err(problem) = child.kill().and_then(|()| child.wait()) {
                    warn!(%problem, "cannot end the successor that does not serve");
                }
                Err(if outcome.is_ok() { SuccessionError::Ended } else { SuccessionError::Silent })
            }
        }
    }

    fn spawn(&self) -> io::Result<(Child, pipe::Receiver)> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let mut names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
        names.extend([LOCK, READY]);
        let mut descriptors = Vec::with_capacity(names.len());
        for socket in self.sockets.iter().map(|(_, socket)| socket).chain([&self.lock]) {
            descriptors.push(socket.try_clone()?);
        }
        descriptors.push(writer);
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .env_remove("LISTEN_PID");
        syscall::hand_over(&mut command, &descriptors)?;
        Ok((command.spawn()?, pipe::Receiver::from_owned_fd(reader)?))
    }
}

/// Whether a successor said that it serves.
async fn heard(ready: pipe::Receiver) -> bool {
    loop {
        if ready.readable().await.is_err() {
            return false;
        }
        match ready.try_read(&mut [0]) {
            Ok(count) => return count == 1,
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}

impl Successor {
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs no more; asking also takes what is left of it.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// What a predecessor has handed to this process.
#[derive(Debug, Default)]
pub(crate) struct Heritage {
    lock: Option<OwnedFd>,
    ready: Option<OwnedFd>,
}

impl Heritage {
    /// Takes it; at most once in a process.
    pub(crate) fn take() -> Self {
        Self { lock: listen::take_handed(LOCK), ready: listen::take_handed(READY) }
    }

    /// The lock of the state folder, if it is handed over.
    pub(crate) fn lock(&mut self) -> Option<File> {
        self.lock.take().map(File::from)
    }

    /// Tells the predecessor that this process serves, or the service manager where there was none: it hears of a
    /// successor from the predecessor.
    pub(crate) fn say_ready(self) {
        let Some(ready) = self.ready else { return notify::ready() };
        if let Err(problem) = File::from(ready).write_all(b"1") {
            // It has gone, which is what it would do next anyway.
            warn!(%problem, "cannot tell the predecessor that this edge serves");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estate(program: &str, arguments: &[&str]) -> Estate {
        Estate {
            program: program.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            sockets: Vec::new(),
            lock: File::open("/dev/null").unwrap().into(),
        }
    }

    #[tokio::test]
    async fn a_successor_that_says_so_serves() {
        // Descriptor 3 is the lock, 4 the pipe.
        let script =
            "test \"$LISTEN_FDNAMES\" = havre-state-lock:havre-ready && printf 1 >&4 && exec sleep 60";
        let mut successor = estate("/bin/sh", &["-c", script]).start().await.unwrap();
        assert!(successor.id() > 0);
        successor.child.kill().unwrap();
        successor.child.wait().unwrap();
    }

    #[tokio::test]
    async fn one_that_ends_or_cannot_start_is_none() {
        let error = estate("/bin/sh", &["-c", "exit 1"]).start().await.unwrap_err();
        assert_eq!(error.to_string(), "the successor ended before it served; its log says why");
        let error = estate("/nowhere/havred", &[]).start().await.unwrap_err();
        assert_eq!(error.to_string(), "start /nowhere/havred as the successor");
    }
}
