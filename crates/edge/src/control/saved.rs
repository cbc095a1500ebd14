//! The last accepted route table on disk, whole and what changed since (`journal`), and the lock that keeps its folder to
//! one edge. It does not judge tables. Tests: `tests/it/control.rs` and at the end of the file.

mod journal;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use havre_api::route_change::RouteChange;
use havre_api::route_table::RouteTable;
use rustix::fs::{FlockOperation, flock};
use tracing::warn;

use self::journal::Journal;
use crate::durable;

/// Largest table, on disk and from control: about 200,000 routes.
pub const MAX_TABLE_BYTES: usize = 64 * 1024 * 1024;

const TABLE: &str = "table.json";
const DAMAGED_TABLE: &str = "table.damaged.json";
const LOCK: &str = "lock";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another process has it.
    #[error("another edge is running with the state folder {}", .0.display())]
    Busy(PathBuf),
    /// It cannot be made, or its lock not be opened.
    #[error("prepare the state folder {}", .path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Why a saved table was not used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// It cannot be read.
    #[error("read the saved route table")]
    Io(#[source] io::Error),
    /// It is no route table.
    #[error("understand the saved route table")]
    Format(#[source] serde_json::Error),
    /// Nobody writes such a large one.
    #[error("the saved route table is larger than {MAX_TABLE_BYTES} bytes")]
    TooLarge,
}

/// The folder of one edge, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// The kernel releases the lock when the last process that holds it ends, however it ends.
    lock: File,
    /// Held by who writes, so that nobody retires in the middle of it.
    saved: Mutex<Saved>,
}

#[derive(Debug)]
struct Saved {
    /// What has changed since the table was saved whole.
    journal: Journal,
    /// A successor writes here now; two writers would overwrite each other's tables.
    is_retired: bool,
    /// Something in use is not there: what changes it would be changes of a gap.
    is_behind: bool,
}

impl StateDir {
    /// Makes the folder if needed and locks it.
    ///
    /// # Errors
    /// Another edge has it, or it cannot be written.
    pub fn lock(path: &Path) -> Result<Self, StateDirError> {
        let failed = |source: io::Error| StateDirError::Io { path: path.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self::of(path, lock)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateDirError::Busy(path.to_owned())),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Takes the folder over with the lock of a predecessor that goes on draining.
    ///
    /// # Errors
    /// `lock` is not the lock of this folder.
    pub fn inherit(path: &Path, lock: File) -> Result<Self, StateDirError> {
        let failed = |source: io::Error| StateDirError::Io { path: path.to_owned(), source };
        let (handed, own) = (lock.metadata().map_err(failed)?, path.join(LOCK).metadata().map_err(failed)?);
        if (handed.dev(), handed.ino()) != (own.dev(), own.ino()) {
            return Err(StateDirError::Busy(path.to_owned()));
        }
        Ok(Self::of(path, lock))
    }

    fn of(path: &Path, lock: File) -> Self {
        let saved = Saved { journal: Journal::within(path), is_retired: false, is_behind: false };
        Self { path: path.to_owned(), lock, saved: Mutex::new(saved) }
    }

    fn saved(&self) -> MutexGuard<'_, Saved> {
        // What a panic would leave is what a crash leaves.
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, for a successor.
    pub(crate) fn lock_file(&self) -> &File {
        &self.lock
    }

    /// Stops, or takes up again, the saving of tables. Waits for one that is being saved.
    pub(crate) fn retire(&self, is_retired: bool) {
        let mut saved = self.saved();
        // Tables have come meanwhile, and what the successor has written nobody knows.
        if saved.is_retired && !is_retired {
            saved.is_behind = true;
        }
        saved.is_retired = is_retired;
    }

    /// Whether changes cannot bring up to date what is saved: the next table should come whole.
    pub(crate) fn is_behind(&self) -> bool {
        let saved = self.saved();
        saved.is_behind && !saved.is_retired
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The saved table; `None` when there is none yet.
    ///
    /// # Errors
    /// The file is there but no route table; call [`StateDir::set_aside`] and go on without.
    pub fn load(&self) -> Result<Option<RouteTable>, SavedError> {
        let mut saved = self.saved();
        let Some(mut table) = self.whole()? else { return Ok(None) };
        if let Err(problem) = saved.journal.replay(&mut table) {
            // An older table is better than none until control answers.
            warn!(%problem, "cannot read what has changed since the route table was saved");
            saved.is_behind = true;
        }
        Ok(Some(table))
    }

    /// What was saved whole.
    fn whole(&self) -> Result<Option<RouteTable>, SavedError> {
        let file = match File::open(self.path.join(TABLE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SavedError::Io(error)),
        };
        let mut text = Vec::new();
        file.take(MAX_TABLE_BYTES as u64 + 1).read_to_end(&mut text).map_err(SavedError::Io)?;
        if text.len() > MAX_TABLE_BYTES {
            return Err(SavedError::TooLarge);
        }
        serde_json::from_slice(&text).map(Some).map_err(SavedError::Format)
    }

    /// Moves a damaged table out of the way and returns where it is now. One damaged table is kept.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path.join(DAMAGED_TABLE);
        let mut saved = self.saved();
        std::fs::rename(self.path.join(TABLE), &aside)?;
        saved.journal.forget()?;
        Ok(aside)
    }

    /// Saves `text`, the JSON of a table, so that a crash at any moment leaves the old one or the new one.
    /// Readable for the edge's user alone: it holds the probe key.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written; the old table is still there.
    pub fn save(&self, text: &[u8]) -> io::Result<()> {
        let mut saved = self.saved();
        if saved.is_retired {
            return Ok(());
        }
        saved.is_behind = true;
        durable::replace(&self.path, TABLE, text)?;
        saved.journal.forget()?;
        saved.is_behind = false;
        Ok(())
    }

    /// Saves what makes the saved table the next one. True: there are many such changes by now, and [`StateDir::fold`]
    /// should follow. Nothing is done where the saved table is another one: the next one comes whole.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written; the next table should come whole.
    pub fn append(&self, change: &RouteChange) -> io::Result<bool> {
        let mut saved = self.saved();
        if saved.is_retired || saved.is_behind {
            return Ok(false);
        }
        let appended = saved.journal.append(change);
        saved.is_behind = appended.is_err();
        appended
    }

    /// Saves the table whole that the saved one and its changes make.
    ///
    /// # Errors
    /// As [`StateDir::save`]; what was saved is still there.
    pub fn fold(&self) -> io::Result<()> {
        let mut saved = self.saved();
        if saved.is_retired || saved.is_behind {
            return Ok(());
        }
        let Some(mut table) = self.whole().map_err(io::Error::other)? else { return Ok(()) };
        saved.journal.replay(&mut table)?;
        durable::replace(&self.path, TABLE, &serde_json::to_vec(&table)?)?;
        saved.journal.forget()
    }
}

#[cfg(test)]
mod tests {
    use havre_api::route_table::ROUTE_TABLE_VERSION;

    use super::*;

    #[test]
    fn a_folder_belongs_to_one_edge() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::lock(&path).unwrap();
        let second = StateDir::lock(&path).unwrap_err();
        assert_eq!(
            second.to_string(),
            format!("another edge is running with the state folder {}", path.display())
        );
        drop(first);
        StateDir::lock(&path).unwrap();
    }

    #[test]
    fn a_successor_inherits_the_folder_and_the_predecessor_writes_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::lock(dir.path()).unwrap();
        first.save(b"{}").unwrap();
        first.retire(true);
        let second = StateDir::inherit(dir.path(), first.lock_file().try_clone().unwrap()).unwrap();
        first.save(b"late").unwrap();
        assert_eq!(std::fs::read(dir.path().join(TABLE)).unwrap(), b"{}");
        second.save(b"[]").unwrap();
        drop(first);
        // The successor still holds it.
        StateDir::lock(dir.path()).unwrap_err();
        drop(second);
        StateDir::lock(dir.path()).unwrap();
        let stranger = tempfile::tempfile().unwrap();
        StateDir::inherit(dir.path(), stranger).unwrap_err();
    }

    #[test]
    fn what_is_not_saved_is_followed_by_a_whole_table() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::lock(dir.path()).unwrap();
        let whole = |generation| {
            let table = RouteTable { version: ROUTE_TABLE_VERSION, generation, ..RouteTable::default() };
            serde_json::to_vec(&table).unwrap()
        };
        let change = |from| RouteChange {
            version: ROUTE_TABLE_VERSION,
            from,
            generation: from + 1,
            ..RouteChange::default()
        };
        let seen = || (state.load().unwrap().unwrap().generation, state.is_behind());
        state.save(&whole(3)).unwrap();
        state.append(&change(3)).unwrap();
        assert_eq!(seen(), (4, false));

        // A successor was started and did not come up; meanwhile there was a change.
        state.retire(true);
        state.append(&change(4)).unwrap();
        assert_eq!(seen(), (4, false), "it is the successor's now");
        state.retire(false);
        assert_eq!(seen(), (4, true));
        state.append(&change(5)).unwrap();
        state.fold().unwrap();
        assert_eq!(seen(), (4, true), "nothing is built on a gap");
        state.save(&whole(7)).unwrap();
        state.append(&change(7)).unwrap();
        assert_eq!(seen(), (8, false));

        // Root may write anywhere, so the names of the files are taken by folders.
        let taken = dir.path().join(format!("{TABLE}.new"));
        std::fs::create_dir(&taken).unwrap();
        state.save(&whole(9)).unwrap_err();
        assert_eq!(seen(), (8, true));
        std::fs::remove_dir(&taken).unwrap();
        state.save(&whole(10)).unwrap();
        assert_eq!(seen(), (10, false));
        std::fs::create_dir(dir.path().join("changes.jsonl")).unwrap();
        state.append(&change(10)).unwrap_err();
        assert_eq!(seen(), (10, true), "and the whole one is served without its changes");
    }

    #[test]
    fn tables_are_replaced_whole_and_damage_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::lock(dir.path()).unwrap();
        assert_eq!(state.load().unwrap(), None);
        let table = RouteTable { version: 1, generation: 4, ..RouteTable::default() };
        state.save(b"a longer text that the next save must not leave behind in part {}{}{}{}{}{}").unwrap();
        state.save(&serde_json::to_vec(&table).unwrap()).unwrap();
        assert_eq!(state.load().unwrap(), Some(table));
        state.save(b"{\"version\":1,").unwrap();
        assert_eq!(state.load().unwrap_err().to_string(), "understand the saved route table");
        assert_eq!(state.set_aside().unwrap(), dir.path().join(DAMAGED_TABLE));
        assert_eq!(state.load().unwrap(), None);
        assert_eq!(std::fs::read(dir.path().join(DAMAGED_TABLE)).unwrap(), b"{\"version\":1,");
    }
}
