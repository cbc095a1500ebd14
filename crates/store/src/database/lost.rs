//! Databases whose data went with the server it was on. When it comes back is decided in `havre_rescue::lost`. Tests:
//! `tests/it/rebuild.rs`.

use havre_core::database::Database;
use havre_core::database::event::Fact;
use havre_core::database::role::RoleName;
use havre_core::database::state::{State, StopReason};
use havre_core::id::EnvironmentId;
use havre_core::name::DatabaseName;
use havre_rescue::lost::Lost;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// The environment's id stands for the row in errors.
const SELECT: &str =
    "SELECT environment, name, since, attempts, tried_at, is_given_up, roles FROM lost_databases";

fn read(row: &Row<'_>) -> Result<Lost, StoreError> {
    let origin = Origin::of("lost_databases", row)?;
    Ok(Lost {
        environment: EnvironmentId::new(origin.id),
        name: origin.text(row, "name")?,
        since: row::instant(row, "since")?,
        attempts: row.get("attempts")?,
        tried_at: row::instant_or_none(row, "tried_at")?,
        is_given_up: row.get("is_given_up")?,
        roles: origin.json(row, "roles")?,
    })
}

impl View<'_> {
    /// Every database whose data is not there, or is being put back, by environment and name.
    pub fn list_lost_databases(&self) -> Result<Vec<Lost>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY environment, name"), [], read)
    }

    /// What is known of the data of a database that is lost, or is being put back.
    pub fn find_lost_database(
        &self,
        environment: EnvironmentId,
        name: &DatabaseName,
    ) -> Result<Option<Lost>, StoreError> {
        let sql = format!("{SELECT} WHERE environment = ?1 AND name = ?2");
        row::find(self.connection, &sql, (environment.row(), name.as_str()), read)
    }

    /// The same, unless a backup is being put into it: whoever finds something may not start it.
    pub fn find_loss(&self, database: &Database) -> Result<Option<Lost>, StoreError> {
        let lost = self.find_lost_database(database.environment, &database.spec.name)?;
        if lost.is_none() || self.list_databases_being_filled()?.contains(&database.id) {
            return Ok(None);
        }
        Ok(lost)
    }
}

impl Tx<'_> {
    /// The data of a database is not there. Nobody is let in, and it does not start.
    pub(crate) fn lose_database(&mut self, database: &Database) -> Result<(), StoreError> {
        let roles = self.list_database_roles(database.id)?;
        let names: Vec<RoleName> = roles.into_iter().map(|role| role.name).collect();
        row::run(
            self.connection,
            "INSERT INTO lost_databases (environment, name, since, attempts, is_given_up, roles) VALUES (?1, ?2, ?3, 0, 0, ?4) \
             ON CONFLICT (environment, name) DO UPDATE SET attempts = 0, tried_at = NULL, is_given_up = 0",
            (
                database.environment.row(),
                database.spec.name.as_str(),
                self.at.as_millis(),
                row::to_json("roles", &names)?,
            ),
        )?;
        for role in &names {
            self.remove_database_role(database, role)?;
        }
        row::run(self.connection, "DELETE FROM wal_spools WHERE database = ?1", [database.id.row()])?;
        self.stop_lost(database)
    }

    fn stop_lost(&mut self, database: &Database) -> Result<(), StoreError> {
        let stopped = State::Stopped { since: self.at, why: StopReason::Lost, failures: 0 };
        self.set_database_state(database.id, &database.state, stopped)
    }

    /// One more time that a backup of it is put back.
    pub fn record_loss_attempt(&mut self, lost: &Lost) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "UPDATE lost_databases SET attempts = attempts + 1, tried_at = ?3 WHERE environment = ?1 AND name = ?2",
            (lost.environment.row(), lost.name.as_str(), self.at.as_millis()),
        )?;
        Ok(())
    }

    /// Its data is back.
    pub(crate) fn forget_loss(&mut self, database: &Database) -> Result<(), StoreError> {
        let sql = "DELETE FROM lost_databases WHERE environment = ?1 AND name = ?2";
        row::run(self.connection, sql, (database.environment.row(), database.spec.name.as_str()))?;
        Ok(())
    }

    /// Nothing of it shall come back.
    pub(crate) fn give_loss_up(&mut self, database: &Database) -> Result<(), StoreError> {
        let sql = "UPDATE lost_databases SET is_given_up = 1 WHERE environment = ?1 AND name = ?2";
        row::run(self.connection, sql, (database.environment.row(), database.spec.name.as_str()))?;
        Ok(())
    }

    /// The row of one that is lost gives way to the one its backup goes into. Whatever of its volume may be here stays.
    pub(crate) fn take_out_lost(&mut self, database: &Database) -> Result<(), StoreError> {
        self.delete_database(database)?;
        self.tell_database(database, Fact::Destroyed)
    }

    /// After one of this name has gone: it is lost still, unless somebody has given it up.
    pub(crate) fn follow_lost(&mut self, gone: &Database) -> Result<(), StoreError> {
        let Some(lost) = self.find_lost_database(gone.environment, &gone.spec.name)? else { return Ok(()) };
        if lost.is_given_up {
            return self.forget_loss(gone);
        }
        let (database, _) = self.apply_database(gone.environment, &gone.spec)?;
        self.stop_lost(&database)
    }
}
