//! Backups: targets in `target.rs`, runs in `run.rs`, what is promised of both in `promise.rs`; restores in `restore.rs`, drills in
//! `drill.rs`, WAL in `wal.rs`, volumes in `volume.rs`, what somebody has to look at in `check.rs`. What a policy asks for is in the specification of each database; what is due, and how far a run has come, is decided in
//! `havre_core::backup`. Tests: `tests/it/backup.rs`, `tests/it/backup_promise.rs`, `tests/it/restore.rs`, `tests/it/drill.rs`.

mod check;
mod drill;
mod promise;
mod restore;
mod run;
mod target;
mod volume;
mod wal;

pub use drill::NewDrill;
pub use restore::NewRestore;
pub use volume::{NewVolumeRestore, VolumePause};
pub use wal::NewStretch;

use havre_core::backup::event::Event;
use havre_core::event::{EventKind, Subject};

use crate::error::StoreError;
use crate::view::Tx;

impl Tx<'_> {
    /// Appends an event about backups.
    pub(crate) fn tell_backup(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Backup(event))?;
        Ok(())
    }
}
