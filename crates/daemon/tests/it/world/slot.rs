//! A place for one test on the shared machine: networks, addresses and ids that no other test uses at the same time.
//! It also remembers what ran in it, so that the next test cleans up after one that was killed.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use super::docker;

/// More than tests ever run in parallel; bounded by the addresses below.
const SLOTS: u8 = 16;

/// Held until dropped, and given back by the kernel when the process dies.
pub(crate) struct Slot {
    number: u8,
    file: File,
}

impl Slot {
    /// Takes a free one and removes what an earlier, killed test left in it.
    pub(crate) fn take() -> Self {
        let folder = folder();
        std::fs::create_dir_all(&folder).expect("a folder for the slots");
        for number in 0..SLOTS {
            let path = folder.join(format!("slot-{number}"));
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.expect("a file for the slot");
            if file.try_lock().is_err() {
                continue;
            }
            let mut left = String::new();
            file.read_to_string(&mut left).expect("the slot is readable");
            for installation in left.lines() {
                docker::remove_all(installation).expect("what an earlier test left can be removed");
            }
            let slot = Self { number, file };
            slot.forget();
            return slot;
        }
        panic!("all {SLOTS} slots in {} are taken: too many tests run at once", folder.display());
    }

    /// Writes down whose things are in this slot.
    pub(crate) fn remember(&self, installation: &str) {
        writeln!(&self.file, "{installation}").expect("the slot is writable");
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

    /// Addresses of environments: 16 networks of /24.
    pub(crate) fn environment_pool(&self) -> String {
        format!("10.241.{}.0/20", self.number * 16)
    }

    /// Docker's names of networks, containers and volumes hold row ids, so rows of each slot count from another number.
    pub(crate) fn first_id(&self) -> i64 {
        (i64::from(self.number) + 1) * 100_000
    }
}

fn folder() -> PathBuf {
    std::env::temp_dir().join("havre-e2e")
}
