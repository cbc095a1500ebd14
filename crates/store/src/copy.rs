//! A copy of the whole store as one file, of one instant, while everything goes on. What is sealed in it stays sealed. Tests at the end of
//! the file.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;
use crate::store::Store;

/// Pause before another try where somebody else holds the file.
const PAUSE: Duration = Duration::from_millis(50);
/// Most tries.
const TRIES: u32 = 200;

impl Store {
    /// Writes a copy to `path`, a file that must not be there, for its owner only. It is of one instant, it is checked, and needs no file
    /// beside it. Whoever calls this removes it, also where it fails.
    ///
    /// # Errors
    /// The file cannot be made or written, or what was written is not a sound store.
    pub async fn copy_to(&self, path: PathBuf) -> Result<(), StoreError> {
        self.read_raw(move |connection| copy(connection, &path)).await
    }
}

fn copy(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    // Made before SQLite opens it, so that it never has other permissions.
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
        StoreError::File { doing: "make a copy of the store at", path: path.to_owned(), source }
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copied = Connection::open_with_flags(path, flags)?;
    {
        // All pages in one step: in between nobody else's write can make it begin again.
        let backup = Backup::new(connection, &mut copied)?;
        let mut tries = 0;
        while backup.step(-1)? != StepResult::Done {
            tries += 1;
            if tries == TRIES {
                let source = std::io::Error::other("somebody else holds the store's file");
                return Err(StoreError::File { doing: "copy the store to", path: path.to_owned(), source });
            }
            std::thread::sleep(PAUSE);
        }
    }
    // Its log would be a second file.
    copied.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    let said: String = copied.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    let source = std::io::Error::other(said);
    Err(StoreError::File { doing: "find sound the copy of the store at", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use havre_core::event::{AccessEvent, Actor, EventKind, Subject};
    use havre_core::time::Timestamp;

    use super::*;
    use crate::store::OpenOptions;

    fn open(path: PathBuf) -> Store {
        Store::open(OpenOptions {
            path,
            installation: "test".to_owned(),
            probe_key: "key".to_owned(),
            edge_pool: "10.88.0.0/16".parse().unwrap(),
            environment_pool: "10.89.0.0/16".parse().unwrap(),
            master_key: None,
        })
        .unwrap()
    }

    async fn tell(store: &Store, name: String) {
        let event = EventKind::Access(AccessEvent::TokenCreated { name });
        store
            .write(Timestamp::default(), Actor::Havre, move |tx| tx.append(Subject::Node, event))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn it_is_a_store_of_one_instant_in_one_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path().join("store"));
        tell(&store, "before".repeat(100_000)).await;
        let path = folder.path().join("copy");
        let (copied, ()) = tokio::join!(store.copy_to(path.clone()), tell(&store, "meanwhile".to_owned()));
        copied.unwrap();
        tell(&store, "after".to_owned()).await;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for beside in ["copy-wal", "copy-shm", "copy-journal"] {
            assert!(!folder.path().join(beside).exists(), "{beside}");
        }
        let again = store.copy_to(path.clone()).await;
        assert!(matches!(again, Err(StoreError::File { .. })), "{again:?}");
        let copied = open(path);
        let last = copied.read(|view| view.last_event()).await.unwrap();
        assert!((1..=2).contains(&last), "{last}");
        assert_eq!(store.read(|view| view.last_event()).await.unwrap(), 3);
    }
}
