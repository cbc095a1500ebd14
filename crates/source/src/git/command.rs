//! Runs `git`: never through a shell, with an environment and settings of our own, bounded in time, output and number, and
//! killed with everything it started when nobody waits for it any more. Knows no verb; those are beside it. Tests at the
//! end of the file and in `tests/it/git.rs`.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use havre_core::quantity::Span;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, setpriority_pgrp};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use super::submodule;
use crate::error::{SourceError, show};

/// The oldest git we support: Debian 12's. Older ones do not know all settings that keep it in bounds.
const OLDEST: (u32, u32) = (2, 39);
/// Longest run of a verb that answers at once, its wait for a free place included.
pub(super) const VERB_TIMEOUT: Span = Span::seconds(30);
/// Longest run of a program that asks a host for something.
const ASK_TIMEOUT: Span = Span::seconds(15);
/// Most verbs at work at once.
const VERBS_MAX: usize = 8;
/// Most clones, fetches and pushes at work at once. Others wait; apart from the verbs, so that slow clients never hold up the loops.
const EXCHANGES_MAX: usize = 16;
/// Bytes of what git says about a failure that are kept; the last ones say most.
const ERRORS_MAX: usize = 4096;
/// The priority behind all others.
const LAST: i32 = 19;
/// Longest wait for git to end by itself once its input has ended.
const GRACE: Duration = Duration::from_secs(5);

/// Settings of every call, stronger than those in the repository's own file.
const SETTINGS: &[&str] = &[
    // No program but git runs. (An empty `core.alternateRefsCommand` would not help: git tries to run it through a shell for
    // the quarantine of each push, and tells the client that it cannot. Only the repository's own file could set it.)
    "core.hooksPath=/dev/null",
    "protocol.file.allow=never",
    // Repositories belong to the user that runs us, or to root after a restore; the folder is ours either way.
    "safe.directory=*",
    // Nothing starts in the background.
    "gc.auto=0",
    "receive.autogc=false",
    "maintenance.auto=false",
    // What is pushed is checked object by object, but for three faults that old histories carry and that harm nobody.
    "transfer.fsckObjects=true",
    "receive.fsck.badTimezone=ignore",
    "receive.fsck.missingSpaceBeforeDate=ignore",
    "receive.fsck.zeroPaddedFilemode=ignore",
    // What was acknowledged survives a power cut.
    "core.fsync=committed",
    // Branches that may not be removed are ours to say; git's own rule is about the branch `HEAD` names.
    "receive.denyDeleteCurrent=ignore",
    "receive.advertisePushOptions=true",
    "uploadpack.allowAnySHA1InWant=false",
    // Memory and processor time of packing: users wait for the same cores.
    "core.bigFileThreshold=16m",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "pack.deltaCacheSize=64m",
];

/// The program, and how many may run.
#[derive(Debug)]
pub(super) struct Git {
    program: PathBuf,
    path: OsString,
    home: PathBuf,
    verbs: Semaphore,
    exchanges: Semaphore,
}

/// What git said when it failed.
#[derive(Debug, thiserror::Error)]
#[error("git ended with {status}: {errors}")]
struct GitFailure {
    status: ExitStatus,
    errors: String,
}

/// Git ended in the middle of an answer.
#[derive(Debug, thiserror::Error)]
#[error("git answered {0}")]
pub(super) struct Unexpected(pub(super) String);

impl Git {
    /// `home` is an empty folder.
    pub(super) fn new(program: PathBuf, home: PathBuf) -> Self {
        let usual = || OsString::from("/usr/local/bin:/usr/bin:/bin");
        Self {
            program,
            path: std::env::var_os("PATH").unwrap_or_else(usual),
            home,
            verbs: Semaphore::new(VERBS_MAX),
            exchanges: Semaphore::new(EXCHANGES_MAX),
        }
    }

    /// Looks whether the program is there and new enough. Blocks; for the start.
    ///
    /// # Errors
    /// [`SourceError::Refused`].
    pub(super) fn check_version(&self) -> Result<(), SourceError> {
        let refused = |found: String| SourceError::Refused {
            reason: format!(
                "Havre needs git {}.{} or newer, and {found}; install it (`apt-get install git`)",
                OLDEST.0, OLDEST.1
            ),
        };
        let mut command = std::process::Command::new(&self.program);
        let answer = command.env_clear().env("PATH", &self.path).arg("--version").output();
        let name = self.program.display();
        let answer = answer.map_err(|error| refused(format!("`{name}` cannot be run: {error}")))?;
        match parse_version(&String::from_utf8_lossy(&answer.stdout)) {
            Some(version) if version >= OLDEST => Ok(()),
            Some((major, minor)) => Err(refused(format!("this machine has {major}.{minor}"))),
            None => Err(refused(format!("`{name} --version` answers {}", show(&answer.stdout)))),
        }
    }

    /// A place among the verbs.
    pub(super) async fn verb(&self) -> SemaphorePermit<'_> {
        self.verbs.acquire().await.expect("is never closed")
    }

    /// A place among the clones, fetches and pushes.
    pub(super) async fn exchange(&self) -> SemaphorePermit<'_> {
        self.exchanges.acquire().await.expect("is never closed")
    }

    /// A command with our environment and settings, to which the verb and its arguments are added.
    pub(super) fn command(&self, settings: &[String]) -> Command {
        let mut command = self.other(&self.program);
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1");
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        command
    }

    /// Another program that is run as git is.
    pub(super) fn other(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &self.home)
            .env("LC_ALL", "C")
            .current_dir(&self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that what git starts can be ended with it.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// A command about one repository.
    pub(super) fn command_in(&self, directory: &Path) -> Command {
        let mut command = self.command(&[]);
        command.arg("--git-dir").arg(directory);
        command
    }

    /// A command that reads what commits hold, those of submodules included.
    pub(super) fn reading(&self, directory: &Path) -> Command {
        let mut command = self.command_in(directory);
        if let Some(objects) = submodule::objects(directory) {
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects);
        }
        command
    }

    /// Runs a verb that answers at once: `input` in, at most `limit` bytes out.
    pub(super) async fn run(
        &self,
        what: &str,
        command: Command,
        input: &[u8],
        limit: u64,
    ) -> Result<Vec<u8>, SourceError> {
        let work = async {
            let _place = self.verb().await;
            let (running, pipes) = Running::spawn(what, command)?;
            let (output, ()) =
                tokio::try_join!(read(what, pipes.output, limit), give_all(what, pipes.input, input))?;
            running.finish(what).await?;
            Ok(output)
        };
        in_time(what, VERB_TIMEOUT, work).await
    }

    /// Runs another program; what it has printed, at most `limit` bytes, however it ends.
    pub(super) async fn ask(&self, what: &str, command: Command, limit: u64) -> Result<Vec<u8>, SourceError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let work = async {
            let _place = self.verb().await;
            let missing = |error: SourceError| match error {
                SourceError::Failed { source, .. } => SourceError::Refused {
                    reason: format!(
                        "could not {what}: {program} cannot be started ({source}); install it (`apt-get install openssh-client`)"
                    ),
                },
                other => other,
            };
            let (running, Pipes { input, output }) = Running::spawn(what, command).map_err(missing)?;
            drop(input);
            let said = read(what, output, limit).await?;
            running.kill().await;
            Ok(said)
        };
        in_time(what, ASK_TIMEOUT, work).await
    }
}

/// `git version 2.39.5 (and more)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split(['.', ' ', '\n']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Ends work that takes too long, by dropping it.
pub(super) async fn in_time<T>(
    what: &str,
    limit: Span,
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    match tokio::time::timeout(limit.duration(), work).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(what, limit)),
    }
}

pub(super) fn timed_out(what: &str, limit: Span) -> SourceError {
    SourceError::TimedOut { what: what.to_owned(), limit: limit.to_string() }
}

async fn read(what: &str, from: impl AsyncRead + Unpin, limit: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let mut from = from.take(limit.saturating_add(1));
    from.read_to_end(&mut bytes).await.map_err(|error| SourceError::failed(what, error))?;
    if bytes.len() as u64 > limit {
        return Err(SourceError::too_large(format!("what git answered to {what}"), format!("{limit} bytes")));
    }
    Ok(bytes)
}

/// Gives git some bytes; whether it still listens. How it ends says whether it was well to stop.
pub(super) async fn give(what: &str, to: &mut ChildStdin, bytes: &[u8]) -> Result<bool, SourceError> {
    match to.write_all(bytes).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(SourceError::failed(what, error)),
    }
}

/// Gives git its whole input.
async fn give_all(what: &str, mut to: ChildStdin, bytes: &[u8]) -> Result<(), SourceError> {
    give(what, &mut to, bytes).await.map(drop)
}

/// The two streams of a running git; what it says about failures is read beside them.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
}

/// A git at work. Dropped before it has ended, it is killed together with everything it started.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    errors: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts the command.
    pub(super) fn spawn(what: &str, mut command: Command) -> Result<(Self, Pipes), SourceError> {
        let mut child =
            command.spawn().map_err(|error| SourceError::failed(format!("start git to {what}"), error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut running = Self { child, errors: None };
        let (Some(input), Some(output), Some(errors)) = pipes else {
            // All three are asked for in `Git::command`.
            return Err(SourceError::failed(what, Unexpected("without its pipes".to_owned())));
        };
        running.errors = Some(tokio::spawn(last_words(errors)));
        Ok((running, Pipes { input, output }))
    }

    /// Lets everybody else who wants the processor go first, and whatever git starts as well.
    pub(super) fn step_back(&self) {
        let Some(group) = self.group() else { return };
        if let Err(error) = setpriority_pgrp(Some(group), LAST) {
            tracing::debug!(%error, "git runs with the priority of everything else");
        }
    }

    /// The group of the process; `None` once it was waited for: the number may belong to somebody else by then.
    fn group(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// Waits for its end, which is near once its pipes are at theirs.
    pub(super) async fn finish(mut self, what: &str) -> Result<(), SourceError> {
        let failed = |error| SourceError::failed(what, error);
        let status = tokio::time::timeout(GRACE, self.child.wait()).await;
        let status = status.map_err(|_| timed_out(what, Span::seconds(GRACE.as_secs())))?.map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(SourceError::failed(what, GitFailure { status, errors: self.words().await }))
    }

    /// Ends it before its time, once its input was closed: git then throws away by itself what it has received so far. It is
    /// killed when it does not. (Neither a signal nor a closed output would do: git leaves its quarantine behind then.)
    pub(super) async fn stop(mut self, mut output: ChildStdout) {
        let end = async {
            // What it still says, and how it ends, no longer matters.
            let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
            let _ = self.child.wait().await;
        };
        let _ = tokio::time::timeout(GRACE, end).await;
    }

    /// Ends it at once, with everything it started, and waits until it has gone.
    pub(super) async fn kill(mut self) {
        self.kill_group();
        // One that cannot be killed is stuck in the kernel, and does nothing any more.
        let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
    }

    fn kill_group(&self) {
        let Some(group) = self.group() else { return };
        match kill_process_group(group, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => tracing::warn!(%error, "could not end git"),
        }
    }

    /// The last it has said, once it has ended.
    pub(super) async fn words(&mut self) -> String {
        let Some(errors) = self.errors.take() else { return String::new() };
        // Somebody it started may still hold the pipe.
        match tokio::time::timeout(GRACE, errors).await {
            Ok(Ok(words)) => words,
            _ => String::new(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// Reads to the end and keeps the last bytes, as one line.
async fn last_words(mut from: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut chunk = vec![0; ERRORS_MAX];
    loop {
        match from.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(count) => keep_last(&mut kept, &chunk[..count]),
        }
    }
    one_line(&kept)
}

fn keep_last(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let surplus = kept.len().saturating_sub(ERRORS_MAX);
    kept.drain(..surplus);
}

fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
        .filter(|line: &String| !line.is_empty())
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_git() {
        assert_eq!(parse_version("git version 2.39.5\n"), Some((2, 39)));
        assert_eq!(parse_version("git version 2.50.GIT (Apple Git-1)\n"), Some((2, 50)));
        assert_eq!(parse_version("git version 2.51\n"), Some((2, 51)));
        for none in ["", "git version", "git version x.y", "hub version 2.0"] {
            assert_eq!(parse_version(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_missing_git_is_named() {
        let git = Git::new("/nowhere/git".into(), "/nowhere".into());
        let error = git.check_version().expect_err("there is none").to_string();
        assert!(error.contains("needs git 2.39 or newer, and `/nowhere/git` cannot be run"), "{error}");
    }

    #[test]
    fn the_last_words_are_kept() {
        let mut kept = Vec::new();
        for _ in 0..100 {
            keep_last(&mut kept, &[b'x'; 100]);
        }
        keep_last(&mut kept, b"\nfatal: no\x1b[0m\n\n");
        assert_eq!(kept.len(), ERRORS_MAX);
        let line = one_line(&kept);
        assert!(line.starts_with('x') && line.ends_with("; fatal: no [0m"), "{line}");
    }

    #[test]
    fn nothing_of_our_environment_reaches_git() {
        let git = Git::new("git".into(), "/nowhere".into());
        let command = git.command(&["receive.maxInputSize=1".to_owned()]);
        let command = command.as_std();
        let mut names: Vec<&str> = command.get_envs().filter_map(|(name, _)| name.to_str()).collect();
        names.sort_unstable();
        let expected = [
            "GIT_ATTR_NOSYSTEM",
            "GIT_CONFIG_GLOBAL",
            "GIT_CONFIG_NOSYSTEM",
            "GIT_NO_REPLACE_OBJECTS",
            "GIT_TERMINAL_PROMPT",
            "HOME",
            "LC_ALL",
            "PATH",
        ];
        assert_eq!(names, expected);
        let last: Vec<_> = command.get_args().skip(SETTINGS.len() * 2).collect();
        assert_eq!(last, ["-c", "receive.maxInputSize=1"]);
    }
}
