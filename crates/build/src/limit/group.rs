//! The groups of processes of BuildKit's steps, as files of the kernel: of version 1 and 2, as Docker lays them out by itself
//! (`docker/buildkit/<step>`) and by systemd (`system.slice/docker-<step>.scope`). Tests at the end of the file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use havre_core::quantity::ByteSize;
use havre_decide::build::limit::{Counters, Limits, Sample};

/// Where Docker puts the steps of builds when it makes groups by itself.
const SHARED: &str = "docker/buildkit";
/// Where systemd makes them for Docker.
const SLICE: &str = "system.slice";
const VMSTAT: &str = "/proc/vmstat";
/// Name of the whole machine among the groups.
const MACHINE: &str = "machine";
/// Length of the names BuildKit gives its steps; containers have 64 characters.
const STEP_NAME: usize = 25;
/// Largest page of memory of any processor we run on.
const PAGE_MAX: u64 = 64 * 1024;

/// The groups below one folder.
#[derive(Debug, Clone)]
pub struct Groups {
    root: PathBuf,
    is_v2: bool,
    /// Where the kernel counts what happened on the whole machine.
    vmstat: PathBuf,
}

/// What became of setting limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enforced {
    /// Groups that have them.
    pub groups: usize,
    /// What could not be set, for people; memory and processes only: weights are a courtesy.
    pub failed: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
    Cpu,
    Io,
}

impl Controller {
    const ALL: [Self; 4] = [Self::Memory, Self::Pids, Self::Cpu, Self::Io];

    /// Its folder in version 1.
    fn folder(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Io => "blkio",
        }
    }
}

impl Groups {
    /// Looks at which version there is.
    pub fn at(root: &Path) -> Self {
        let is_v2 = root.join("cgroup.controllers").exists();
        Self { root: root.to_owned(), is_v2, vmstat: VMSTAT.into() }
    }

    /// Sets the limits on every group of builds that is there. With `makes_shared` the one that Docker makes by itself is made
    /// where it is not there yet, so that the first step has limits from its beginning.
    pub fn enforce(&self, limits: &Limits, makes_shared: bool) -> Enforced {
        if makes_shared {
            self.make_shared();
        }
        let mut enforced = Enforced::default();
        let parents = self.parents();
        for parent in &parents {
            let set = [Controller::Memory, Controller::Pids]
                .into_iter()
                .try_for_each(|controller| self.set(controller, parent, limits));
            match set {
                Ok(()) => enforced.groups += 1,
                // It has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => enforced.failed.push(format!("{parent}: {error}")),
            }
            for controller in [Controller::Cpu, Controller::Io] {
                // Not every kernel has them.
                let _ = self.set(controller, parent, limits);
            }
        }
        enforced
    }

    /// Whether every group of builds has these limits; `None` where there is none.
    pub fn is_enforced(&self, limits: &Limits) -> Option<bool> {
        let parents = self.parents();
        if parents.is_empty() {
            return None;
        }
        let has = |parent: &String| {
            let memory = self.file(Controller::Memory, parent, self.memory_file());
            let pids = self.file(Controller::Pids, parent, "pids.max");
            read_number(&memory).is_none_or(|bytes| bytes <= limits.memory.as_bytes())
                && read_number(&pids).is_none_or(|count| count <= u64::from(limits.pids))
                // A file without a number says `max`; one that is gone belongs to a step that has ended.
                && !says_max(&memory)
                && !says_max(&pids)
        };
        Some(parents.iter().all(has))
    }

    /// The counters of every group of builds.
    pub fn sample(&self) -> Sample {
        let text = fs::read_to_string(&self.vmstat).unwrap_or_default();
        let machine = Counters { machine_kills: find_field(&text, "oom_kill"), ..Counters::default() };
        let mut sample = BTreeMap::from([(MACHINE.to_owned(), machine)]);
        for parent in self.parents() {
            if parent == SHARED {
                for step in self.steps_of_shared() {
                    let name = format!("{SHARED}/{step}");
                    let mut counters = self.counters(&name);
                    if self.is_v2 {
                        // The shared group counts these as well, and goes on to when the step is gone.
                        counters.oom_kills = 0;
                    }
                    sample.insert(name, counters);
                }
            }
            let counters = self.counters(&parent);
            sample.insert(parent, counters);
        }
        sample
    }

    /// Groups that carry limits: the shared one, and each step that systemd has made a group for.
    fn parents(&self) -> Vec<String> {
        let mut parents = Vec::new();
        if self.folder(Controller::Memory, SHARED).is_dir() {
            parents.push(SHARED.to_owned());
        }
        for name in names_in(&self.folder(Controller::Memory, SLICE)) {
            if is_scope_of_step(&name) {
                parents.push(format!("{SLICE}/{name}"));
            }
        }
        parents
    }

    fn steps_of_shared(&self) -> Vec<String> {
        let folder = self.folder(Controller::Memory, SHARED);
        names_in(&folder).into_iter().filter(|name| is_step(name) && folder.join(name).is_dir()).collect()
    }

    fn folder(&self, controller: Controller, group: &str) -> PathBuf {
        let root = if self.is_v2 { self.root.clone() } else { self.root.join(controller.folder()) };
        root.join(group)
    }

    fn file(&self, controller: Controller, group: &str, name: &str) -> PathBuf {
        self.folder(controller, group).join(name)
    }

    const fn memory_file(&self) -> &'static str {
        if self.is_v2 { "memory.max" } else { "memory.limit_in_bytes" }
    }

    /// Best effort: where it fails, so does setting limits, and that is told.
    fn make_shared(&self) {
        for controller in Controller::ALL {
            let folder = self.folder(controller, SHARED);
            if folder.is_dir() {
                continue;
            }
            if self.is_v2 {
                for above in [self.root.clone(), self.root.join("docker")] {
                    let _ = fs::create_dir(&above);
                    for name in ["memory", "pids", "cpu", "io"] {
                        let _ = fs::write(above.join("cgroup.subtree_control"), format!("+{name}"));
                    }
                }
            }
            let _ = fs::create_dir_all(&folder);
        }
    }

    fn set(&self, controller: Controller, group: &str, limits: &Limits) -> io::Result<()> {
        let file = |name: &str| self.file(controller, group, name);
        match controller {
            Controller::Memory if self.is_v2 => {
                put_bytes(&file("memory.max"), limits.memory.as_bytes())?;
                put_if_there(&file("memory.swap.max"), "0")
            }
            Controller::Memory => self.set_memory_v1(group, limits.memory),
            Controller::Pids => put(&file("pids.max"), &limits.pids.to_string()),
            Controller::Cpu if self.is_v2 => put(&file("cpu.weight"), &limits.cpu_weight.to_string()),
            // 1024 shares are the weight of 100 of everybody else.
            Controller::Cpu => {
                let shares = (u64::from(limits.cpu_weight) * 1024 / 100).max(2);
                put(&file("cpu.shares"), &shares.to_string())
            }
            Controller::Io if self.is_v2 => {
                put_if_there(&file("io.weight"), &format!("default {}", limits.io_weight))
            }
            Controller::Io => {
                let weight = limits.io_weight.clamp(10, 1000).to_string();
                put_if_there(&file("blkio.weight"), &weight)?;
                put_if_there(&file("blkio.bfq.weight"), &weight)
            }
        }
    }

    /// Memory with swap may never be less than memory alone, so that the order depends on whether the limit grows.
    fn set_memory_v1(&self, group: &str, memory: ByteSize) -> io::Result<()> {
        let bytes = memory.as_bytes();
        let file = |name: &str| self.file(Controller::Memory, group, name);
        let (alone, with_swap) = (file("memory.limit_in_bytes"), file("memory.memsw.limit_in_bytes"));
        if put_bytes(&alone, bytes).is_err() {
            unless_absent(put_bytes(&with_swap, bytes))?;
            put_bytes(&alone, bytes)?;
        }
        unless_absent(put_bytes(&with_swap, bytes))
    }

    fn counters(&self, group: &str) -> Counters {
        let field = |controller, name: &str, key: &str| {
            let text = fs::read_to_string(self.file(controller, group, name)).unwrap_or_default();
            find_field(&text, key)
        };
        let oom_kills = match self.is_v2 {
            true => field(Controller::Memory, "memory.events", "oom_kill"),
            false => field(Controller::Memory, "memory.oom_control", "oom_kill"),
        };
        // A step that ends because it may start no process takes its count along; that its parent was full once stays.
        let pids = |name: &str| read_number(&self.file(Controller::Pids, group, name));
        let was_full = pids("pids.peak").zip(pids("pids.max")).is_some_and(|(peak, max)| peak >= max);
        let refused_forks = field(Controller::Pids, "pids.events", "max") + u64::from(was_full);
        Counters { oom_kills, machine_kills: 0, refused_forks }
    }
}

fn is_step(name: &str) -> bool {
    name.len() == STEP_NAME && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_scope_of_step(name: &str) -> bool {
    name.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope")).is_some_and(is_step)
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Writes what is not there already: a limit that is set again costs the kernel a walk over the group's memory.
fn put(file: &Path, value: &str) -> io::Result<()> {
    if fs::read_to_string(file)?.trim() == value {
        return Ok(());
    }
    fs::write(file, value)
}

/// The same for memory, which the kernel rounds down to whole pages.
fn put_bytes(file: &Path, bytes: u64) -> io::Result<()> {
    let there = fs::read_to_string(file)?;
    let is_there = there.trim().parse::<u64>().is_ok_and(|is| is <= bytes && bytes - is < PAGE_MAX);
    if is_there { Ok(()) } else { fs::write(file, bytes.to_string()) }
}

fn put_if_there(file: &Path, value: &str) -> io::Result<()> {
    unless_absent(put(file, value))
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn says_max(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.trim() == "max")
}

/// The number behind a key, in text of lines `key number`.
fn find_field(text: &str, key: &str) -> u64 {
    let mut values = text.lines().filter_map(|line| line.split_once(' '));
    values.find(|(name, _)| *name == key).and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: &str = "oay1y9qdomoem6tze1528u0bf";

    fn limits() -> Limits {
        Limits { memory: ByteSize::mebibytes(512), pids: 100, cpu_weight: 20, io_weight: 20 }
    }

    /// A folder that looks like the kernel's, with these files.
    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Groups) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            write(folder.path(), name, text);
        }
        let groups = Groups { vmstat: folder.path().join("vmstat"), ..Groups::at(folder.path()) };
        (folder, groups)
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("is made");
        fs::write(path, text).expect("is written");
    }

    fn read(root: &Path, name: &str) -> String {
        fs::read_to_string(root.join(name)).expect("is there")
    }

    #[test]
    fn version_1_as_docker_makes_it() {
        let events = format!("pids/docker/buildkit/{STEP}/pids.events");
        let oom = format!("memory/docker/buildkit/{STEP}/memory.oom_control");
        let (folder, groups) = tree(&[
            ("memory/docker/buildkit/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/docker/buildkit/memory.memsw.limit_in_bytes", "9223372036854771712\n"),
            ("vmstat", "nr_free_pages 1\noom_kill 7\nballoon_inflate 0\n"),
            ("pids/docker/buildkit/pids.peak", "100\n"),
            ("pids/docker/buildkit/pids.max", "max\n"),
            ("cpu/docker/buildkit/cpu.shares", "1024\n"),
            ("blkio/docker/buildkit/blkio.bfq.weight", "100\n"),
            (oom.as_str(), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            (events.as_str(), "max 5\n"),
        ]);
        assert_eq!(groups.is_enforced(&limits()), Some(false));
        assert_eq!(groups.enforce(&limits(), false), Enforced { groups: 1, failed: Vec::new() });
        assert_eq!(groups.is_enforced(&limits()), Some(true));
        let root = folder.path();
        assert_eq!(read(root, "memory/docker/buildkit/memory.limit_in_bytes"), "536870912");
        assert_eq!(read(root, "memory/docker/buildkit/memory.memsw.limit_in_bytes"), "536870912");
        assert_eq!(read(root, "pids/docker/buildkit/pids.max"), "100");
        assert_eq!(read(root, "cpu/docker/buildkit/cpu.shares"), "204");
        assert_eq!(read(root, "blkio/docker/buildkit/blkio.bfq.weight"), "20");
        let sample = groups.sample();
        let machine = Counters { machine_kills: 7, ..Counters::default() };
        let shared = Counters { refused_forks: 1, ..Counters::default() };
        let step = Counters { oom_kills: 2, machine_kills: 0, refused_forks: 5 };
        let expected = [
            ("machine".to_owned(), machine),
            ("docker/buildkit".to_owned(), shared),
            (format!("docker/buildkit/{STEP}"), step),
        ];
        assert_eq!(sample, BTreeMap::from(expected));
    }

    #[test]
    fn version_2_as_systemd_makes_it() {
        let scope = format!("system.slice/docker-{STEP}.scope");
        let file = |name: &str| format!("{scope}/{name}");
        let container = format!("system.slice/docker-{}.scope/memory.max", "a".repeat(64));
        let (folder, groups) = tree(&[
            ("cgroup.controllers", "cpu io memory pids\n"),
            (&file("memory.max"), "max\n"),
            (&file("memory.swap.max"), "max\n"),
            (&file("pids.max"), "18920\n"),
            (&file("cpu.weight"), "100\n"),
            (&file("memory.events"), "low 0\nhigh 0\nmax 44\noom 1\noom_kill 1\noom_group_kill 0\n"),
            (&file("pids.events"), "max 3\n"),
            (&container, "max\n"),
        ]);
        assert_eq!(groups.enforce(&limits(), false), Enforced { groups: 1, failed: Vec::new() });
        let root = folder.path();
        assert_eq!(read(root, &file("memory.max")), "536870912");
        assert_eq!(read(root, &file("memory.swap.max")), "0");
        assert_eq!(read(root, &file("pids.max")), "100");
        assert_eq!(read(root, &file("cpu.weight")), "20");
        assert_eq!(read(root, &container), "max\n", "no container is touched");
        let expected = Counters { oom_kills: 1, machine_kills: 0, refused_forks: 3 };
        assert_eq!(groups.sample().get(&scope), Some(&expected));
    }

    #[test]
    fn version_2_counts_no_kill_twice() {
        let step = format!("docker/buildkit/{STEP}/memory.events");
        let (_folder, groups) = tree(&[
            ("cgroup.controllers", "memory pids\n"),
            ("docker/buildkit/memory.events", "max 9\noom_kill 4\n"),
            (&step, "max 0\noom_kill 1\n"),
        ]);
        let kills: u64 = groups.sample().values().map(|counters| counters.oom_kills).sum();
        assert_eq!(kills, 4);
    }

    #[test]
    fn without_groups_there_is_nothing_to_say() {
        let (_folder, groups) = tree(&[("memory/memory.limit_in_bytes", "1\n")]);
        assert_eq!(groups.enforce(&limits(), false), Enforced::default());
        assert_eq!(groups.is_enforced(&limits()), None);
        assert_eq!(groups.sample(), Sample::from([("machine".to_owned(), Counters::default())]));
    }

    #[test]
    fn a_limit_that_is_there_is_left() {
        let (folder, groups) = tree(&[
            ("memory/docker/buildkit/memory.limit_in_bytes", "536866816\n"),
            ("pids/docker/buildkit/pids.max", "100\n"),
        ]);
        groups.enforce(&limits(), false);
        let read = read(folder.path(), "memory/docker/buildkit/memory.limit_in_bytes");
        assert_eq!(read, "536866816\n", "the kernel had rounded it");
    }

    #[test]
    fn names_of_steps() {
        assert!(is_step(STEP) && is_scope_of_step(&format!("docker-{STEP}.scope")));
        for other in ["", "buildkit", "Oay1y9qdomoem6tze1528u0bf", &"a".repeat(64)] {
            assert!(!is_step(other), "{other}");
        }
        assert!(!is_scope_of_step(&format!("containerd-{STEP}.scope")));
    }
}
