//! `havre-bench idle`: memory and CPU of processes that should cost next to nothing. Parts with logic are in `process`.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;

use crate::process::{CpuTimes, memory, with_descendants};

/// Arguments of `havre-bench idle`.
#[derive(Debug, Args)]
pub(crate) struct IdleArguments {
    /// Processes; may be repeated.
    #[arg(long, required = true, num_args = 1..)]
    pid: Vec<u32>,
    /// Include their child processes and theirs.
    #[arg(long)]
    tree: bool,
    /// How long CPU time is counted.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Fail when the sum of PSS is above this.
    #[arg(long)]
    max_pss_mb: Option<f64>,
    /// Fail when CPU is above this many percent of one core.
    #[arg(long)]
    max_cpu_percent: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    seconds: f64,
    pss_mb: f64,
    rss_mb: f64,
    cpu_ms: f64,
    cpu_percent: f64,
    processes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct Process {
    pid: u32,
    command: String,
    pss_mb: f64,
    rss_mb: f64,
    cpu_ms: f64,
}

const MB: f64 = 1_000_000.0;

/// Measures and prints JSON; `false` when a limit is exceeded.
pub(crate) fn run_command(arguments: &IdleArguments) -> anyhow::Result<bool> {
    let pids = if arguments.tree { with_descendants(&arguments.pid)? } else { arguments.pid.clone() };
    let wait = Duration::try_from_secs_f64(arguments.seconds)?;
    let before: Vec<CpuTimes> = pids.iter().map(|pid| CpuTimes::read(&[*pid])).collect();
    std::thread::sleep(wait);
    let mut processes = Vec::new();
    for (pid, before) in pids.iter().zip(&before) {
        let cpu = CpuTimes::read(&[*pid]).since(before);
        let memory = memory(*pid)?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        processes.push(Process {
            pid: *pid,
            command: command.trim_end_matches('\0').replace('\0', " "),
            pss_mb: memory.pss as f64 / MB,
            rss_mb: memory.rss as f64 / MB,
            cpu_ms: cpu.as_secs_f64() * 1000.0,
        });
    }
    ensure!(!processes.is_empty(), "no process to measure");
    let sum = |part: fn(&Process) -> f64| processes.iter().map(part).sum::<f64>();
    let cpu_ms = sum(|process| process.cpu_ms);
    let report = Report {
        seconds: arguments.seconds,
        pss_mb: sum(|process| process.pss_mb),
        rss_mb: sum(|process| process.rss_mb),
        cpu_ms,
        cpu_percent: cpu_ms / (arguments.seconds * 10.0),
        processes,
    };
    println!("{}", serde_json::to_string_pretty(&report)?);
    let is_within = |value: f64, limit: Option<f64>| limit.is_none_or(|limit| value <= limit);
    Ok(is_within(report.pss_mb, arguments.max_pss_mb)
        && is_within(report.cpu_percent, arguments.max_cpu_percent))
}
