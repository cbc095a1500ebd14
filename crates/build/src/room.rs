//! How much room the machine has, as the kernel says. What it means for builds is decided in
//! `havre_decide::build::admission`. Tests at the end of the file.

use std::path::Path;

use havre_core::quantity::ByteSize;
use havre_decide::build::admission::{Disk, Room};

/// Looks at memory, and at the disks of these folders.
pub(crate) fn observe(folders: &[&Path]) -> Room {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Room {
        memory: find_memory(&meminfo, "MemAvailable"),
        disks: folders.iter().filter_map(|folder| find_disk(folder)).collect(),
    }
}

/// All memory of the machine.
pub fn machine_memory() -> Option<ByteSize> {
    find_memory(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

fn find_memory(meminfo: &str, key: &str) -> Option<ByteSize> {
    let mut lines = meminfo.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| *name == key)?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(ByteSize::bytes(kilobytes.saturating_mul(1024)))
}

fn find_disk(folder: &Path) -> Option<Disk> {
    let about = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| ByteSize::bytes(blocks.saturating_mul(about.f_frsize));
    Some(Disk {
        path: folder.display().to_string(),
        free: bytes(about.f_bavail),
        size: bytes(about.f_blocks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:       24684032 kB\nMemFree:        15688000 kB\nMemAvailable:   22952000 kB\n";
        assert_eq!(find_memory(text, "MemAvailable"), Some(ByteSize::bytes(22_952_000 * 1024)));
        assert_eq!(find_memory(text, "SwapTotal"), None);
        assert_eq!(find_memory("MemTotal: many kB", "MemTotal"), None);
    }

    #[test]
    fn this_machine_has_room_of_some_size() {
        let folder = tempfile::tempdir().expect("a folder");
        let room = observe(&[folder.path(), Path::new("/nowhere/at/all")]);
        assert!(room.memory > Some(ByteSize::bytes(0)) && room.memory < machine_memory());
        assert_eq!(room.disks.len(), 1);
        assert!(room.disks[0].free < room.disks[0].size);
    }
}
