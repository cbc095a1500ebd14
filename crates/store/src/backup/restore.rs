//! Restores: each makes a database that nobody has yet. What follows from what was seen is decided in `havre_rescue::restore`.
//! Tests: `tests/it/restore.rs`.

use std::collections::BTreeSet;

use havre_core::backup::What;
use havre_core::backup::event::Event;
use havre_core::backup::manifest::Manifest;
use havre_core::database::Database;
use havre_core::database::spec::DatabaseSpec;
use havre_core::database::state::State as Server;
use havre_core::id::{DatabaseId, EnvironmentId, RestoreId};
use havre_core::name::{DatabaseName, TargetName};
use havre_rescue::line::{Recovery, saved_in};
use havre_rescue::proof::Progress;
use havre_rescue::restore::{Point, Restore, State};
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// Restores that are kept of each database besides those that are not over: the newest ones.
const KEEP: u32 = 100;
/// Most that are not over: each of them is a server that loads.
const OPEN_MAX: usize = 8;

const SELECT: &str = "SELECT id, project, environment, source, name, database, target, manifest, recovery, state, created_at, ended_at \
    FROM restores";

fn read(row: &Row<'_>) -> Result<Restore, StoreError> {
    let origin = Origin::of("restores", row)?;
    let has_recovery = row.get::<_, Option<String>>("recovery")?.is_some();
    Ok(Restore {
        id: RestoreId::new(origin.id),
        project: origin.text(row, "project")?,
        environment: origin.text(row, "environment")?,
        source: origin.text(row, "source")?,
        name: origin.text(row, "name")?,
        database: DatabaseId::new(row.get("database")?),
        target: origin.text(row, "target")?,
        manifest: origin.json(row, "manifest")?,
        recovery: if has_recovery { Some(origin.json(row, "recovery")?) } else { None },
        state: origin.json(row, "state")?,
        created_at: row::instant(row, "created_at")?,
        ended_at: row::instant_or_none(row, "ended_at")?,
    })
}

/// A restore that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRestore {
    /// The environment the new database belongs to.
    pub environment: EnvironmentId,
    /// The database that was saved.
    pub source: DatabaseName,
    /// The new database, under its own name.
    pub spec: DatabaseSpec,
    /// Where the snapshot lies.
    pub target: TargetName,
    /// What the new database must be.
    pub manifest: Manifest,
    /// How it comes to its second; absent where a dump comes back.
    pub recovery: Option<Recovery>,
}

impl View<'_> {
    /// One restore.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_restore(&self, id: RestoreId) -> Result<Restore, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("restore", id))
    }

    /// Restores that are not over, oldest first.
    pub fn list_open_restores(&self) -> Result<Vec<Restore>, StoreError> {
        row::list(self.connection, &format!("{SELECT} WHERE ended_at IS NULL ORDER BY id"), [], read)
    }

    /// Whether a restore writes on the volume of a database, so that its server has to wait.
    pub fn is_volume_held(&self, database: DatabaseId) -> Result<bool, StoreError> {
        let open = self.list_open_restores()?;
        Ok(open.iter().any(|restore| restore.database == database && restore.holds_volume()))
    }

    /// Databases that are filled now: nobody is let in, and their servers keep nothing yet.
    pub fn list_databases_being_filled(&self) -> Result<BTreeSet<DatabaseId>, StoreError> {
        Ok(self.list_open_restores()?.into_iter().map(|restore| restore.database).collect())
    }

    /// Every point to which this can be brought back, newest first; of one instant, by name of the target.
    pub fn list_points(&self, what: &What) -> Result<Vec<Point>, StoreError> {
        let mut points = Vec::new();
        for target in self.list_backup_targets()? {
            for run in self.list_good_backup_runs(what, &target.spec.name)? {
                let Some(manifest) = run.manifest else { continue };
                points.push(Point { run: run.id, target: run.target, manifest });
            }
        }
        points.sort_by_key(|point| std::cmp::Reverse(point.manifest.started_at));
        Ok(points)
    }

    /// At most `limit` restores of what has this key, newest first.
    pub fn list_restores(&self, what_key: &str, limit: u32) -> Result<Vec<Restore>, StoreError> {
        let sql = format!("{SELECT} WHERE what_key = ?1 ORDER BY id DESC LIMIT ?2");
        row::list(self.connection, &sql, (what_key, limit), read)
    }
}

impl Tx<'_> {
    /// Records a restore, and makes the database it goes into.
    ///
    /// # Errors
    /// `NameTaken` where a database or a service has that name: nothing is ever restored into what is there, but one whose data is lost
    /// gives way. `TooManyRestores`; `NoMasterKey`.
    pub fn create_restore(&mut self, new: &NewRestore) -> Result<Restore, StoreError> {
        let name = &new.spec.name;
        let there = self.find_environment_database(new.environment, name)?;
        let lost = match &there {
            Some(there) if !there.state.is_destroying() => self.find_loss(there)?,
            Some(_) | None => None,
        };
        if there.is_some() && lost.is_none() {
            return Err(StoreError::NameTaken { kind: "database", name: name.to_string() });
        }
        if self.list_open_restores()?.len() >= OPEN_MAX {
            return Err(StoreError::TooManyRestores { most: OPEN_MAX });
        }
        let source = self.find_environment_database(new.environment, &new.source)?;
        if let Some(there) = &there {
            self.take_out_lost(there)?;
        }
        let (database, _) = self.apply_database(new.environment, &new.spec)?;
        let what = saved_in(&new.manifest.what);
        let recovery = match &new.recovery {
            Some(recovery) => {
                self.take_image(new, source, database.id)?;
                Some(row::to_json("a recovery", recovery)?)
            }
            None => None,
        };
        row::run(
            self.connection,
            "INSERT INTO restores (what_key, project, environment, source, name, database, target, manifest, state, created_at, recovery) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            (
                what.key(),
                database.project.as_str(),
                database.environment_name.as_str(),
                new.source.as_str(),
                name.as_str(),
                database.id.row(),
                new.target.as_str(),
                new.manifest.canonical(),
                row::to_json("a state", &State::first(self.at))?,
                self.at.as_millis(),
                recovery,
            ),
        )?;
        let id = RestoreId::new(self.connection.last_insert_rowid());
        self.tell_backup(Event::RestoreCreated {
            restore: id,
            what,
            database: name.clone(),
            snapshot: new.manifest.snapshot.clone(),
        })?;
        self.get_restore(id)
    }

    /// Files are read by the very server that wrote them: another build of the same version may sort its texts otherwise.
    fn take_image(
        &mut self,
        new: &NewRestore,
        source: Option<Database>,
        database: DatabaseId,
    ) -> Result<(), StoreError> {
        let Some(source) = source else { return Ok(()) };
        match source.image {
            Some(image) if source.spec.reference() == new.spec.reference() => {
                self.set_database_image(database, &image)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its volume is free now: the server of the new database starts, and its time to answer begins.
    fn release_volume(&mut self, restore: &Restore) -> Result<(), StoreError> {
        let database = match self.get_database(restore.database) {
            Ok(database) if !database.state.is_destroying() => database,
            Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let to = Server::Starting { since: self.at, failures: 0 };
        self.set_database_state(database.id, &database.state, to)
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same. With one that failed goes what was made of its database;
    /// one whose snapshot is read at the next start gets one.
    ///
    /// # Errors
    /// `Conflict` when the restore is not in `from` any more; `NotFound` where a server should start whose database is gone.
    pub fn set_restore_state(&mut self, id: RestoreId, from: &State, to: &State) -> Result<(), StoreError> {
        let restore = self.get_restore(id)?;
        if restore.state != *from {
            let (expected, found) = (from.name(), restore.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if restore.state == *to {
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE restores SET state = ?2, ended_at = ?3 WHERE id = ?1",
            (id.row(), row::to_json("a state", to)?, to.is_over().then_some(self.at.as_millis())),
        )?;
        let what = saved_in(&restore.manifest.what);
        let event = match to {
            State::Working { progress } => Event::RestoreAdvanced { restore: id, stage: progress.stage() },
            State::Ready { .. } => Event::RestoreReady { restore: id, what, database: restore.name.clone() },
            State::Failed { stage, reason, .. } => {
                Event::RestoreFailed { restore: id, what, stage: *stage, reason: reason.clone() }
            }
        };
        self.tell_backup(event)?;
        let after = Restore { state: to.clone(), ..restore.clone() };
        if restore.holds_volume() && !after.holds_volume() && !to.is_over() {
            self.release_volume(&restore)?;
        }
        match to {
            State::Failed { .. } => match self.discard_database(restore.database, self.at) {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            },
            State::Working { progress: Progress::Starting { .. } } => {
                self.renew_database_task(restore.database)?;
            }
            State::Ready { .. } => match self.get_database(restore.database) {
                Ok(database) => self.forget_loss(&database)?,
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            },
            State::Working { .. } => {}
        }
        if to.is_over() { self.prune_restores(&restore) } else { Ok(()) }
    }

    /// Keeps the newest ones. No event: what they were was told.
    fn prune_restores(&mut self, ended: &Restore) -> Result<(), StoreError> {
        let sql = "DELETE FROM restores WHERE what_key = ?1 AND ended_at IS NOT NULL AND id NOT IN \
            (SELECT id FROM restores WHERE what_key = ?1 ORDER BY id DESC LIMIT ?2)";
        row::run(self.connection, sql, (saved_in(&ended.manifest.what).key(), KEEP))?;
        Ok(())
    }
}
