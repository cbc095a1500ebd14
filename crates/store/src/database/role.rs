//! Roles of services in databases, with their sealed passwords. Tests: `tests/it/database.rs`.

use std::collections::BTreeSet;

use havre_core::database::event::Fact;
use havre_core::database::role::{Login, RoleName};
use havre_core::database::{Database, Role, RoleState};
use havre_core::id::DatabaseId;
use havre_core::name::ServiceName;
use havre_core::secret::Secret;
use havre_decide::database::variable::Link;
use rusqlite::Row;

use super::digest;
use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::{Place, random_password};
use crate::view::{Tx, View};

/// The database's id stands for the row in errors.
const SELECT: &str = "SELECT database, name, state FROM database_roles WHERE database = ?1";

fn read(row: &Row<'_>) -> Result<Role, StoreError> {
    let origin = Origin::of("database_roles", row)?;
    Ok(Role { name: origin.text(row, "name")?, state: origin.json(row, "state")? })
}

fn row_name(id: DatabaseId, role: &RoleName) -> String {
    format!("{id}/{role}")
}

fn place(row: &str) -> Place<'_> {
    Place { table: "database_roles", row, column: "sealed_password" }
}

impl View<'_> {
    /// Roles of a database, by name.
    pub fn list_database_roles(&self, id: DatabaseId) -> Result<Vec<Role>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY name"), [id.row()], read)
    }

    /// Every role of a database with the hash of its password, by name.
    ///
    /// # Errors
    /// `Sealed` where a password cannot be opened.
    pub fn list_database_logins(&self, id: DatabaseId) -> Result<Vec<Login>, StoreError> {
        let mut logins = Vec::new();
        for role in self.list_database_roles(id)? {
            let password = self.get_role_password(id, &role.name)?;
            logins.push(Login { digest: digest(&password), role: role.name });
        }
        Ok(logins)
    }

    /// The password of a role.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn get_role_password(&self, id: DatabaseId, role: &RoleName) -> Result<Secret, StoreError> {
        let sql = "SELECT sealed_password FROM database_roles WHERE database = ?1 AND name = ?2";
        let name = role.to_string();
        let sealed: Option<Vec<u8>> =
            row::find(self.connection, sql, (id.row(), name.as_str()), |row| Ok(row.get(0)?))?;
        let sealed = sealed.ok_or_else(|| StoreError::not_found("role", role))?;
        self.master_key()?.open(&sealed, place(&row_name(id, role)))
    }

    /// How a service gets into a database; `None` until the database knows its role.
    ///
    /// # Errors
    /// `Sealed` where its password cannot be opened.
    pub fn find_database_link(
        &self,
        database: &Database,
        service: &ServiceName,
    ) -> Result<Option<Link>, StoreError> {
        let roles = self.list_database_roles(database.id)?;
        let made =
            roles.into_iter().find(|role| role.name.service == *service && role.state == RoleState::Made);
        let Some(role) = made else { return Ok(None) };
        Ok(Some(Link {
            database: database.spec.name.clone(),
            engine: database.spec.engine,
            password: self.get_role_password(database.id, &role.name)?,
            role: role.name,
        }))
    }

    /// Replaced roles that some task may have been started with.
    pub fn list_roles_in_use(&self, database: &Database) -> Result<BTreeSet<RoleName>, StoreError> {
        let mut in_use = BTreeSet::new();
        let services = self.list_environment_services(database.environment)?;
        for role in self.list_database_roles(database.id)? {
            let RoleState::Replaced { at } = role.state else { continue };
            let Some(service) = services.iter().find(|service| service.place.service == role.name.service)
            else {
                continue;
            };
            // The variables of a task are made when it starts, which is after its row was written.
            let has_older = self.list_tasks(service.id)?.iter().any(|task| task.created_at <= at);
            if has_older {
                in_use.insert(role.name);
            }
        }
        Ok(in_use)
    }
}

impl Tx<'_> {
    /// A row and a password for a service that has none, or for its next password; answers which of the two roles it is.
    ///
    /// # Errors
    /// `RotationRunning` while both are taken; `NoMasterKey`.
    pub fn add_database_role(
        &mut self,
        database: &Database,
        service: &ServiceName,
    ) -> Result<RoleName, StoreError> {
        let taken = self.list_database_roles(database.id)?;
        let first = RoleName::first(service.clone());
        let is_free = |name: &RoleName| !taken.iter().any(|role| role.name == *name);
        let Some(role) = [first.clone(), first.other()].into_iter().find(is_free) else {
            return Err(StoreError::RotationRunning { place: database.place(), service: service.clone() });
        };
        let password = random_password()?;
        let sealed = self.master_key()?.seal(&password, place(&row_name(database.id, &role)))?;
        row::run(
            self.connection,
            "INSERT INTO database_roles (database, name, state, sealed_password, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                database.id.row(),
                role.to_string(),
                row::to_json("a state", &RoleState::Wanted)?,
                sealed,
                self.at.as_millis(),
            ),
        )?;
        Ok(role)
    }

    /// The database knows the role now; whatever the service had before is replaced. Answers whether there was such.
    pub fn set_role_made(&mut self, database: &Database, role: &RoleName) -> Result<bool, StoreError> {
        let roles = self.list_database_roles(database.id)?;
        if !roles.iter().any(|found| found.name == *role && found.state == RoleState::Wanted) {
            return Ok(false);
        }
        let other = role.other();
        let has_other = roles.iter().any(|found| found.name == other && found.state == RoleState::Made);
        if has_other {
            self.set_role_state(database.id, &other, RoleState::Replaced { at: self.at })?;
        }
        self.set_role_state(database.id, role, RoleState::Made)?;
        self.tell_database(database, Fact::RoleMade { role: role.clone() })?;
        Ok(has_other)
    }

    fn set_role_state(
        &mut self,
        id: DatabaseId,
        role: &RoleName,
        state: RoleState,
    ) -> Result<(), StoreError> {
        let json = row::to_json("a state", &state)?;
        row::run(
            self.connection,
            "UPDATE database_roles SET state = ?3 WHERE database = ?1 AND name = ?2",
            (id.row(), role.to_string(), json),
        )?;
        Ok(())
    }

    /// Forgets a role that the database lets in no more.
    pub fn remove_database_role(&mut self, database: &Database, role: &RoleName) -> Result<(), StoreError> {
        let sql = "DELETE FROM database_roles WHERE database = ?1 AND name = ?2";
        if row::run(self.connection, sql, (database.id.row(), role.to_string()))? == 0 {
            return Ok(());
        }
        self.tell_database(database, Fact::RoleLocked { role: role.clone() })
    }
}
