//! One control process at a time: an exclusive lock on `<store>.lock`, held as long as any thread of the store.
//! The file itself stays: removing it would let two processes lock two files of the same name.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::StoreError;

/// The held lock; given back when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the store at `path`, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock_path = lock_path(path);
        let failed = |doing: &'static str| {
            let path = lock_path.clone();
            move |source| StoreError::File { doing, path, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open the lock file"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::InUse { path: path.to_owned(), pid: read_pid(&mut file) });
            }
            Err(source) => return Err(failed("lock")(source.into())),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed("write the lock file"))?;
        Ok(Self { _file: file })
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
