//! CPU time and memory of processes, from `/proc`. Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// CPU time of each thread so far. Two of them give the time in between.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuTimes(BTreeMap<(u32, u32), u64>);

/// Memory of one process in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Shared pages counted in part.
    pub(crate) pss: u64,
    /// Shared pages counted whole.
    pub(crate) rss: u64,
}

impl CpuTimes {
    /// Reads `schedstat` of every thread of `pids`, which unlike `stat` counts nanoseconds, not ticks. A process that has
    /// gone is left out.
    pub(crate) fn read(pids: &[u32]) -> Self {
        let mut times = BTreeMap::new();
        for pid in pids {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let thread = task.file_name().to_string_lossy().parse();
                let spent = text.split(' ').next().and_then(|number| number.parse().ok());
                if let (Ok(thread), Some(spent)) = (thread, spent) {
                    times.insert((*pid, thread), spent);
                }
            }
        }
        Self(times)
    }

    /// CPU time since `earlier`; what a thread that ended in between had used is lost.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let spent = |(thread, now): (&(u32, u32), &u64)| {
            now.saturating_sub(earlier.0.get(thread).copied().unwrap_or_default())
        };
        Duration::from_nanos(self.0.iter().map(spent).sum())
    }
}

/// Memory of `pid`.
///
/// # Errors
/// There is no such process, or it is not ours to read.
pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(Memory { pss: field(&text, "Pss:")?, rss: field(&text, "Rss:")? })
}

fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(number.with_context(|| format!("find {name} in smaps_rollup"))? * 1024)
}

/// `pids` and all their descendants, sorted.
///
/// # Errors
/// One of `pids` does not exist.
pub(crate) fn with_descendants(pids: &[u32]) -> anyhow::Result<Vec<u32>> {
    for pid in pids {
        ensure!(fs::exists(format!("/proc/{pid}"))?, "there is no process {pid}");
    }
    let mut family: BTreeSet<u32> = pids.iter().copied().collect();
    let all = parents();
    loop {
        let before = family.len();
        family.extend(
            all.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid).collect::<Vec<_>>(),
        );
        if family.len() == before {
            return Ok(family.into_iter().collect());
        }
    }
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_string_lossy().parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may hold anything, so fields are counted from its end.
            let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_seen_as_cpu_time() {
        let own = [std::process::id()];
        let before = CpuTimes::read(&own);
        let began = std::time::Instant::now();
        // Until the kernel says that it has counted some, however busy the machine is.
        while CpuTimes::read(&own).since(&before) < Duration::from_millis(20) {
            assert!(began.elapsed() < Duration::from_secs(60), "no CPU time is counted");
        }
        assert_eq!(CpuTimes::read(&[u32::MAX]).since(&before), Duration::ZERO);
    }

    #[test]
    fn memory_and_descendants_of_ourselves() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.rss >= memory.pss && memory.pss > 100 * 1024, "{memory:?}");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = with_descendants(&[std::process::id()]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&std::process::id()) && family.contains(&child.id()), "{family:?}");
        assert_eq!(with_descendants(&[u32::MAX]).unwrap_err().to_string(), "there is no process 4294967295");
    }
}
