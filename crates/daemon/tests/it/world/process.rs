//! One `havred` process: started, killed, stopped, and its log shown when a test fails.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_havred");
/// Longest wait for a process to end after SIGTERM.
const STOP: Duration = Duration::from_secs(40);
/// Lines of a log shown when a test fails.
const SHOWN: usize = 80;

/// A program that lies beside `havred`.
pub(crate) fn beside(name: &str) -> PathBuf {
    Path::new(PROGRAM).with_file_name(name)
}

/// A role in a process of its own; killed when dropped.
pub(crate) struct Process {
    role: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `havred <role>`; its log goes on where an earlier process of the role stopped.
    pub(crate) fn start(role: &'static str, config: &Path) -> Self {
        Self::spawn(Command::new(PROGRAM), role, config)
    }

    /// The same with at most this many open files, a limit it cannot raise by itself.
    pub(crate) fn start_with_descriptors(most: u32, role: &'static str, config: &Path) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg("ulimit -n \"$0\" && exec \"$@\"").arg(most.to_string()).arg(PROGRAM);
        Self::spawn(shell, role, config)
    }

    fn spawn(program: Command, role: &'static str, config: &Path) -> Self {
        let log = config.with_file_name(format!("{role}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let child = command(program, role, config).stderr(file).spawn().expect("havred starts");
        Self { role, child, log }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ended");
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        signal(self.id(), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < STOP {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("havred {} did not end within {} s of SIGTERM", self.role, STOP.as_secs());
    }

    /// The end of its log.
    pub(crate) fn show_log(&self) {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("--- last lines of havred {}:", self.role);
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            eprintln!("{line}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Children of a supervisor would outlive it.
        let children = children(self.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        for (child, _) in children {
            if let Some(child) = pid(child) {
                let _ = kill_process(child, Signal::KILL);
            }
        }
    }
}

/// Runs `havred <role>` to its end: exit code and what it wrote to standard error.
pub(crate) fn run_to_end(role: &str, config: &Path) -> (Option<i32>, String) {
    let output =
        command(Command::new(PROGRAM), role, config).stderr(Stdio::piped()).output().expect("havred starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn command(mut command: Command, role: &str, config: &Path) -> Command {
    command.arg(role).arg("--config").arg(config).env("NO_COLOR", "1").env_remove("HAVRE_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Sends a signal to a process of ours.
pub(crate) fn signal(id: u32, signal: Signal) {
    kill_process(pid(id).expect("a process id"), signal).expect("the process is ours");
}

/// Kills the processes that a killed test left running: those with an argument that no other process has.
pub(crate) fn kill_all_with(argument: &str) {
    for process in all_with(argument).into_iter().filter_map(pid) {
        // It may have ended a moment ago.
        let _ = kill_process(process, Signal::KILL);
    }
}

/// Processes with this argument.
pub(crate) fn all_with(argument: &str) -> Vec<u32> {
    all().filter(|id| words(*id).iter().skip(1).any(|word| word == argument)).collect()
}

/// Children of a process: id and role.
pub(crate) fn children(parent: u32) -> Vec<(u32, String)> {
    let role = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let is_child = status.lines().any(|line| line == format!("PPid:\t{parent}"));
        let role = words(id).into_iter().nth(1)?;
        is_child.then_some((id, role))
    };
    all().filter_map(role).collect()
}

/// Ids of all processes.
fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Program and arguments of a process; none when it has ended.
fn words(id: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
