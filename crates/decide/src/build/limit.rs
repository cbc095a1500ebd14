//! What builds may use together, and what follows when they want more. Counters of the kernel come in as numbers; who reads
//! them is `havre_build`. Tests at the end of the file.

use std::collections::BTreeMap;
use std::time::Duration;

use havre_core::quantity::ByteSize;
use havre_core::time::Timestamp;

/// So long a build may run into a limit again and again before it is ended: a program that copes with less has its chance.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Without news for so long it has stopped to run into it.
const QUIET: Duration = Duration::from_secs(3);

/// What all builds of the machine may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory; swap is none of it.
    pub memory: ByteSize,
    /// Processes and threads.
    pub pids: u32,
    /// Share of the processors when others want them as well, 1 to 10000; a task has 100.
    pub cpu_weight: u16,
    /// Share of the disks, likewise.
    pub io_weight: u16,
}

/// What ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Processes and threads.
    Pids,
}

/// What the kernel has counted in one group of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Processes it killed because memory had run out.
    pub oom_kills: u64,
    /// Processes it killed for that anywhere on the machine. A group that a kill has ended is gone before anybody can look.
    pub machine_kills: u64,
    /// Processes it did not start because there were too many.
    pub refused_forks: u64,
}

/// Counters of all groups of builds at one moment, by the name of the group.
pub type Sample = BTreeMap<String, Counters>;

/// What was seen while a build ran.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// As far as was already counted, by group. Groups come and go with the steps.
    known: Sample,
    seen: Counters,
    memory: Spell,
    pids: Spell,
}

/// A time in which a limit was run into again and again.
#[derive(Debug, Clone, Copy, Default)]
struct Spell(Option<(Timestamp, Timestamp)>);

impl Spell {
    fn take(&mut self, is_hit: bool, now: Timestamp) {
        self.0 = match self.0 {
            Some((first, _)) if is_hit => Some((first, now)),
            Some((_, last)) if now.since(last) >= QUIET => None,
            None if is_hit => Some((now, now)),
            unchanged => unchanged,
        };
    }

    fn is_long(&self) -> bool {
        self.0.is_some_and(|(first, last)| last.since(first) >= PATIENCE)
    }
}

impl Tally {
    /// Begins with what was counted before the build.
    pub fn new(before: Sample) -> Self {
        Self { known: before, ..Self::default() }
    }

    /// Takes a further sample. A group that was not there before began at zero.
    pub fn take(&mut self, sample: &Sample, now: Timestamp) {
        let mut news = Counters::default();
        for (group, counters) in sample {
            let known = self.known.entry(group.clone()).or_default();
            news.oom_kills += counters.oom_kills.saturating_sub(known.oom_kills);
            news.machine_kills += counters.machine_kills.saturating_sub(known.machine_kills);
            news.refused_forks += counters.refused_forks.saturating_sub(known.refused_forks);
            *known = *counters;
        }
        // Names are random and never used again; only what is there is remembered.
        self.known.retain(|group, _| sample.contains_key(group));
        self.seen.oom_kills += news.oom_kills;
        self.seen.machine_kills += news.machine_kills;
        self.seen.refused_forks += news.refused_forks;
        self.memory.take(news.oom_kills > 0, now);
        self.pids.take(news.refused_forks > 0, now);
    }

    /// What a build must be ended for: it does not end by itself.
    pub fn exhausted(&self) -> Option<Resource> {
        if self.memory.is_long() {
            return Some(Resource::Memory);
        }
        self.pids.is_long().then_some(Resource::Pids)
    }

    /// What made a step fail that ended with this exit code and these last lines.
    pub fn blame(&self, exit_code: Option<i32>, last_lines: &[String]) -> Option<Blame> {
        let Counters { oom_kills, machine_kills, refused_forks } = self.seen;
        let was_killed = exit_code == Some(KILLED);
        if was_killed && (oom_kills > 0 || machine_kills > 0) {
            return Some(Blame::Certain(Resource::Memory));
        }
        if refused_forks > 0 {
            return Some(Blame::Certain(Resource::Pids));
        }
        if oom_kills > 0 {
            return Some(Blame::Likely(Resource::Memory));
        }
        // A step that is gone has taken its count along; what it said is left.
        let says_no_fork = last_lines.iter().any(|line| line.contains(NO_FORK));
        says_no_fork.then_some(Blame::Likely(Resource::Pids))
    }
}

/// What is to blame for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The limit, and nothing else is worth saying.
    Certain(Resource),
    /// The limit, but the step has made a failure of its own of it.
    Likely(Resource),
}

/// The words of EAGAIN, which is what a program is told that may start no further process.
const NO_FORK: &str = "Resource temporarily unavailable";

/// Exit code of a shell whose command was killed: 128 + SIGKILL.
const KILLED: i32 = 137;

/// The exit code in the words of BuildKit: they end with `exit code: 137`.
pub fn exit_code(message: &str) -> Option<i32> {
    let (_, code) = message.rsplit_once("exit code: ")?;
    code.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn counters(oom_kills: u64, machine_kills: u64, refused_forks: u64) -> Counters {
        Counters { oom_kills, machine_kills, refused_forks }
    }

    fn sample(groups: &[(&str, Counters)]) -> Sample {
        groups.iter().map(|(name, counters)| ((*name).to_owned(), *counters)).collect()
    }

    #[test]
    fn only_news_count() {
        let mut tally = Tally::new(sample(&[("shared", counters(3, 100, 9)), ("old", counters(1, 0, 0))]));
        tally.take(&sample(&[("shared", counters(3, 100, 9)), ("old", counters(1, 0, 0))]), at(0));
        assert_eq!((tally.seen, tally.blame(Some(137), &[])), (Counters::default(), None));
        // A step that came and went between two looks is counted by what was seen of it.
        tally.take(&sample(&[("shared", counters(3, 101, 9)), ("step", counters(1, 0, 2))]), at(1));
        tally.take(&sample(&[("shared", counters(3, 101, 9))]), at(2));
        tally.take(&sample(&[("shared", counters(3, 101, 9)), ("next", counters(1, 0, 0))]), at(3));
        assert_eq!(tally.seen, counters(2, 1, 2));
    }

    #[test]
    fn blame_needs_evidence() {
        let (memory, pids) = (Resource::Memory, Resource::Pids);
        for (seen, code, blamed) in [
            (counters(0, 0, 0), Some(137), None),
            (counters(0, 5, 0), Some(1), None),
            (counters(0, 5, 0), Some(137), Some(Blame::Certain(memory))),
            (counters(1, 5, 0), Some(137), Some(Blame::Certain(memory))),
            (counters(1, 5, 0), Some(1), Some(Blame::Likely(memory))),
            (counters(0, 5, 3), Some(2), Some(Blame::Certain(pids))),
            (counters(1, 5, 3), Some(2), Some(Blame::Certain(pids))),
            (counters(1, 5, 3), Some(137), Some(Blame::Certain(memory))),
            (counters(0, 0, 1), None, Some(Blame::Certain(pids))),
        ] {
            let mut tally = Tally::default();
            tally.take(&sample(&[("step", seen)]), at(0));
            assert_eq!(tally.blame(code, &[]), blamed, "{seen:?} {code:?}");
        }
        let said = ["/bin/sh: can't fork: Resource temporarily unavailable".to_owned()];
        assert_eq!(Tally::default().blame(Some(2), &said), Some(Blame::Likely(pids)));
    }

    #[test]
    fn what_goes_on_and_on_is_ended() {
        let mut tally = Tally::default();
        for second in 0..10 {
            tally.take(&sample(&[("step", counters(0, 0, 1 + second))]), at(i64::try_from(second).unwrap()));
            assert_eq!(tally.exhausted(), None, "{second}");
        }
        tally.take(&sample(&[("step", counters(0, 0, 20))]), at(10));
        assert_eq!(tally.exhausted(), Some(Resource::Pids));

        let mut tally = Tally::default();
        tally.take(&sample(&[("step", counters(1, 0, 0))]), at(0));
        for second in 1..60 {
            tally.take(&sample(&[("step", counters(1, 0, 0))]), at(second));
        }
        tally.take(&sample(&[("step", counters(2, 0, 0))]), at(60));
        assert_eq!(tally.exhausted(), None, "twice in a minute is no spell");
    }

    #[test]
    fn exit_codes_are_read() {
        for (message, code) in [
            ("executor failed running [/bin/sh -c x]: exit code: 137", Some(137)),
            ("process \"/bin/sh -c exit code: 3\" did not complete successfully: exit code: 1", Some(1)),
            ("exit code: 12 and more", None),
            ("not found", None),
        ] {
            assert_eq!(exit_code(message), code, "{message}");
        }
    }
}
