//! A store that came back on another server: its file is looked at before anything believes it, and one transaction makes its rows true of a
//! server where nothing is. What becomes of each row is decided in `havre_rescue::rebuild`. Tests: `tests/it/rebuild.rs`.

use std::io;
use std::path::Path;

use havre_core::backup::SnapshotId;
use havre_core::backup::event::Event;
use havre_core::backup::policy::what_of;
use havre_core::copy::state::State as CopyState;
use havre_core::database::Database;
use havre_core::time::Timestamp;
use havre_rescue::owner::{Claim, Owner};
use havre_rescue::proof::{Failure, Observation};
use havre_rescue::rebuild::{Seen, SeenDatabase, SeenService, Step, ended_swap, plan};
use havre_rescue::restore::observe;
use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// Why something that was under way is over.
const GONE: &str = "the server it was on is gone";

/// Where a store comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecovery {
    /// The name by which it claims repositories.
    pub owner: Owner,
    /// The snapshot it was in.
    pub snapshot: SnapshotId,
    /// Of when that is.
    pub saved_at: Timestamp,
}

fn unsound(path: &Path, said: String) -> StoreError {
    let source = io::Error::other(said);
    StoreError::File { doing: "find sound the store at", path: path.to_owned(), source }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(path, flags)?)
}

/// Reads a whole file of a store, which nobody has open: every page, every index, every reference.
///
/// # Errors
/// It is not sound; says where.
pub fn check_file(path: &Path) -> Result<(), StoreError> {
    let connection = connect(path)?;
    let said: String = connection.query_row("PRAGMA integrity_check(5)", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(unsound(path, said));
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    match rows.next()? {
        Some(row) => {
            let table: String = row.get(0)?;
            Err(unsound(path, format!("a row of {table} refers to nothing")))
        }
        None => Ok(()),
    }
}

/// Makes one file of a store that was closed, so that it can be given another name.
///
/// # Errors
/// Somebody has it open, or it cannot be written.
pub fn settle_file(path: &Path) -> Result<(), StoreError> {
    let connection = connect(path)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))?;
    if mode == "delete" { Ok(()) } else { Err(unsound(path, format!("it stays in the mode {mode}"))) }
}

impl View<'_> {
    /// What is in a store that came back, as far as something has to become of it.
    pub fn see_recovered(&self) -> Result<Seen, StoreError> {
        let filled = self.list_databases_being_filled()?;
        let mut databases = Vec::new();
        for database in self.list_databases()? {
            databases.push(SeenDatabase {
                id: database.id,
                place: database.place(),
                is_destroying: database.state.is_destroying(),
                is_being_filled: filled.contains(&database.id),
                newest: self.newest_point(&database)?,
            });
        }
        let mut services = Vec::new();
        for service in self.list_services()? {
            let live = match service.live {
                Some(release) if service.destroyed_at.is_none() => Some(self.get_release(release)?.artifact),
                Some(_) | None => None,
            };
            let has_volumes = service.spec.tasks().is_some_and(|work| !work.volumes.is_empty());
            services.push(SeenService { place: service.place, live, has_volumes });
        }
        let sql = "SELECT DISTINCT host FROM routes ORDER BY host";
        let refs = "SELECT 0, project, reference FROM refs ORDER BY project, reference";
        Ok(Seen {
            tasks: self.list_all_tasks()?.into_iter().map(|task| task.id).collect(),
            restores: self.list_open_restores()?.into_iter().map(|restore| restore.id).collect(),
            copies: self.list_open_copies()?.into_iter().map(|copy| copy.id).collect(),
            swaps: self.list_open_swaps()?.into_iter().map(|swap| swap.id).collect(),
            tunnels: self.list_tunnels()?.into_iter().map(|tunnel| tunnel.id).collect(),
            refs: row::list(self.connection, refs, [], |row| {
                let origin = Origin::of("refs", row)?;
                Ok((origin.text(row, "project")?, origin.text(row, "reference")?))
            })?,
            databases,
            services,
            targets: self.list_backup_targets()?.into_iter().map(|target| target.spec.name).collect(),
            hosts: row::list(self.connection, sql, [], |row| Ok(row.get(0)?))?,
        })
    }

    /// Of when the newest dump is; to a second it comes back by hand.
    fn newest_point(&self, database: &Database) -> Result<Option<Timestamp>, StoreError> {
        let dumps = self.list_points(&what_of(database))?;
        Ok(dumps.into_iter().map(|point| point.manifest.started_at).max())
    }

    /// When this Havre last came back on another server, and the name by which it claims repositories since then.
    pub fn find_recovery(&self) -> Result<Option<Claim>, StoreError> {
        let sql = "SELECT id, owner, recovered_at FROM recoveries ORDER BY id DESC LIMIT 1";
        row::find(self.connection, sql, [], |row| {
            let owner = Origin::of("recoveries", row)?.text(row, "owner")?;
            Ok(Claim { owner, at: row::instant(row, "recovered_at")? })
        })
    }
}

impl Tx<'_> {
    /// Makes the rows of a store that came back true of a server where nothing is. Answers what was seen before.
    ///
    /// # Errors
    /// Those of the file; then nothing was changed.
    pub fn settle_recovered(&mut self, new: &NewRecovery) -> Result<Seen, StoreError> {
        let seen = self.see_recovered()?;
        row::run(
            self.connection,
            "INSERT INTO recoveries (owner, snapshot, saved_at, recovered_at) VALUES (?1, ?2, ?3, ?4)",
            (new.owner.as_str(), new.snapshot.hex(), new.saved_at.as_millis(), self.at.as_millis()),
        )?;
        let (snapshot, saved_at) = (new.snapshot.clone(), new.saved_at);
        self.tell_backup(Event::PlatformRecovered { snapshot, saved_at })?;
        for step in plan(&seen) {
            self.settle(&step)?;
        }
        Ok(seen)
    }

    fn settle(&mut self, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::EndRestore(id) => {
                let restore = self.get_restore(*id)?;
                let reason = Failure::Server { reason: GONE.to_owned() };
                let broken = Observation::Broken { reason };
                let to = observe(&restore.state, &broken, &restore.manifest, self.at);
                self.set_restore_state(*id, &restore.state, &to)
            }
            Step::EndCopy(id) => {
                let from = self.get_copy(*id)?.state;
                self.set_copy_state(*id, &from, CopyState::Cancelled { at: self.at })
            }
            Step::EndSwap(id) => {
                let swap = self.get_swap(*id)?;
                let to = ended_swap(&swap.state, self.at);
                self.set_swap_state(&swap, to)
            }
            Step::CloseTunnel(id) => {
                let tunnel = self.list_tunnels()?.into_iter().find(|tunnel| tunnel.id == *id);
                tunnel.map_or(Ok(()), |tunnel| self.close_tunnel(&tunnel, GONE.to_owned()))
            }
            Step::ForgetTask(id) => self.forget_task(*id),
            Step::ForgetRef { project, reference } => self.note_push(project, reference, None),
            Step::Lose { database, .. } => {
                let database = self.get_database(*database)?;
                self.lose_database(&database)
            }
            Step::LookAt(name) => self.look_at_target_again(name),
        }
    }
}
