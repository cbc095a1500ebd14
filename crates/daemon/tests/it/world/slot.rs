//! A place for one test on the shared machine: networks, addresses and ids that no other test uses at the same time.
//! It also remembers what ran in it, so that the next test cleans up after one that was killed.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{docker, process};

/// More than tests ever run in parallel; bounded by the addresses below.
const SLOTS: u8 = 16;
/// Kinds of lines in a slot's file. Processes come first: they could make again what is removed.
const CONFIG: &str = "config";
const INSTALLATION: &str = "installation";

/// Held until dropped, and given back by the kernel when the process dies.
pub(crate) struct Slot {
    number: u8,
    file: File,
}

impl Slot {
    /// Takes a free one and removes what an earlier, killed test left in it.
    pub(crate) fn take() -> Self {
        let folder = folder();
        for number in 0..SLOTS {
            let path = folder.join(format!("slot-{number}"));
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.expect("a file for the slot");
            if file.try_lock().is_err() {
                continue;
            }
            let mut left = String::new();
            file.read_to_string(&mut left).expect("the slot is readable");
            for line in left.lines() {
                match line.split_once(' ') {
                    Some((CONFIG, path)) => {
                        process::kill_all_with(path);
                        if let Some(folder) = Path::new(path).parent() {
                            // It is gone already where the test ended in order.
                            let _ = std::fs::remove_dir_all(folder);
                        }
                    }
                    Some((INSTALLATION, name)) => {
                        process::kill_all_with(&docker::label(name));
                        docker::remove_all(name).expect("what an earlier test left can be removed");
                    }
                    _ => panic!("{} holds a line of another kind: {line}", path.display()),
                }
            }
            let slot = Self { number, file };
            slot.forget();
            return slot;
        }
        panic!("all {SLOTS} slots in {} are taken: too many tests run at once", folder.display());
    }

    /// Writes down which processes may run in this slot: those with this configuration.
    pub(crate) fn remember_config(&self, path: &Path) {
        writeln!(&self.file, "{CONFIG} {}", path.display()).expect("the slot is writable");
    }

    /// Writes down whose containers, networks and volumes may be in this slot.
    pub(crate) fn remember_installation(&self, name: &str) {
        writeln!(&self.file, "{INSTALLATION} {name}").expect("the slot is writable");
    }

    /// Nothing is left in it.
    pub(crate) fn forget(&self) {
        self.file.set_len(0).expect("the slot is writable");
        (&self.file).rewind().expect("a file can be rewound");
    }

    /// Name of the bridge to the edge.
    pub(crate) fn edge_network(&self) -> String {
        format!("havre-e2e-{}", self.number)
    }

    /// Its addresses.
    pub(crate) fn edge_pool(&self) -> String {
        format!("10.240.{}.0/24", self.number)
    }

    /// Where control listens for clients of git, which know no Unix sockets.
    pub(crate) fn api_address(&self) -> String {
        format!("127.0.0.1:{}", 27_100 + u16::from(self.number))
    }

    /// Addresses of environments: 16 networks of /24.
    pub(crate) fn environment_pool(&self) -> String {
        format!("10.241.{}.0/20", self.number * 16)
    }

    /// Docker's names of networks, containers and volumes hold row ids, so rows of each slot count from another number.
    pub(crate) fn first_id(&self) -> i64 {
        (i64::from(self.number) + 1) * 100_000
    }
}

/// Shared by all checkouts of this machine, and nobody else's: what its files name is killed and removed.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join("havre-e2e");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).expect("a folder for the slots");
    let found = std::fs::symlink_metadata(&folder).expect("it is there");
    let is_ours = found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.permissions().mode() & 0o077 == 0;
    assert!(is_ours, "{} belongs to somebody else or is open to others; remove it first", folder.display());
    folder
}
