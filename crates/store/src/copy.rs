//! Copies into databases: what was asked for, and where each stands; and the salts of projects, sealed. What comes next is decided in
//! `havre_core::copy`. Tests: `tests/it/copy.rs`.

use havre_core::copy::event::{Event, Fact, PersonAct};
use havre_core::copy::state::State;
use havre_core::copy::{DatabaseCopy, DumpFormat, KEPT, Origin, Wish};
use havre_core::database::Database;
use havre_core::event::{EventKind, Subject};
use havre_core::id::{CopyId, DatabaseId};
use havre_core::name::ProjectName;
use havre_core::secret::Secret;
use havre_core::service::Place as DatabasePlace;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin as RowOrigin};
use crate::seal::{Place, random_password};
use crate::view::{Tx, View};

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct NewCopy {
    /// Where the rows come from.
    pub origin: Origin,
    /// The database it goes into.
    pub target: DatabaseId,
    /// How.
    pub wish: Wish,
}

const SELECT: &str = "SELECT id, target, origin, project, environment, name, wish, attempt, state, cancel_requested, created_at \
    FROM copies WHERE";

fn read(row: &Row<'_>) -> Result<DatabaseCopy, StoreError> {
    let origin = RowOrigin::of("copies", row)?;
    Ok(DatabaseCopy {
        id: CopyId::new(origin.id),
        target: DatabaseId::new(row.get("target")?),
        origin: origin.json(row, "origin")?,
        project: origin.text(row, "project")?,
        environment: origin.text(row, "environment")?,
        name: origin.text(row, "name")?,
        wish: origin.json(row, "wish")?,
        attempt: row.get("attempt")?,
        state: origin.json(row, "state")?,
        cancel_requested: row.get("cancel_requested")?,
        created_at: row::instant(row, "created_at")?,
    })
}

fn place(project: &ProjectName) -> Place<'_> {
    Place { table: "salts", row: project.as_str(), column: "sealed_salt" }
}

impl View<'_> {
    /// One copy.
    pub fn get_copy(&self, id: CopyId) -> Result<DatabaseCopy, StoreError> {
        row::find(self.connection, &format!("{SELECT} id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("copy", id))
    }

    /// Copies into a database, newest first.
    pub fn list_copies(&self, target: DatabaseId) -> Result<Vec<DatabaseCopy>, StoreError> {
        let sql = format!("{SELECT} target = ?1 ORDER BY id DESC");
        row::list(self.connection, &sql, [target.row()], read)
    }

    /// Every copy that has not ended, oldest first.
    pub fn list_open_copies(&self) -> Result<Vec<DatabaseCopy>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY id"), [], read)
    }

    /// The secret that masks of a project depend on; `None` before the first masked copy.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn find_salt(&self, project: &ProjectName) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT sealed_salt FROM salts WHERE project = ?1";
        let sealed: Option<Vec<u8>> =
            row::find(self.connection, sql, [project.as_str()], |row| Ok(row.get(0)?))?;
        let Some(sealed) = sealed else { return Ok(None) };
        self.master_key()?.open(&sealed, place(project)).map(Some)
    }
}

impl Tx<'_> {
    /// The secret that masks of a project depend on; made when it is needed first, and the same ever after. No event: nobody sees it.
    ///
    /// # Errors
    /// `NoMasterKey`; `Sealed` where it cannot be opened.
    pub fn ensure_salt(&mut self, project: &ProjectName) -> Result<Secret, StoreError> {
        if let Some(salt) = self.find_salt(project)? {
            return Ok(salt);
        }
        let salt = random_password()?;
        let sealed = self.master_key()?.seal(&salt, place(project))?;
        row::run(
            self.connection,
            "INSERT INTO salts (project, sealed_salt, created_at) VALUES (?1, ?2, ?3)",
            (project.as_str(), sealed, self.at.as_millis()),
        )?;
        Ok(salt)
    }

    /// Records a copy that somebody asked for. A masked one makes sure of the salt.
    ///
    /// # Errors
    /// `CopyRunning`; `BeingDestroyed`; `NoMasterKey`.
    pub fn request_copy(&mut self, new: NewCopy) -> Result<DatabaseCopy, StoreError> {
        let target = self.get_database(new.target)?;
        if target.state.is_destroying() {
            return Err(StoreError::BeingDestroyed { place: target.place() });
        }
        self.check_not_swapped(&target)?;
        if let Origin::Database { id, .. } = new.origin {
            let source = self.get_database(id)?;
            self.check_not_swapped(&source)?;
        }
        let open = self.list_open_copies()?;
        if let Some(open) = open.iter().find(|open| open.target == target.id) {
            return Err(StoreError::CopyRunning { place: target.place(), copy: open.id });
        }
        if new.wish.policy.is_some() {
            self.ensure_salt(&target.project)?;
        }
        row::run(
            self.connection,
            "INSERT INTO copies (target, origin, project, environment, name, wish, attempt, state, is_open, cancel_requested, \
             created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 1, 0, ?8)",
            (
                target.id.row(),
                row::to_json("an origin", &new.origin)?,
                target.project.as_str(),
                target.environment_name.as_str(),
                target.spec.name.as_str(),
                row::to_json("a wish", &new.wish)?,
                row::to_json("a state", &State::Waiting { since: self.at })?,
                self.at.as_millis(),
            ),
        )?;
        let copy = self.get_copy(CopyId::new(self.connection.last_insert_rowid()))?;
        self.tell_copy(copy.place(), Fact::requested(&copy))?;
        Ok(copy)
    }

    /// One more attempt of a copy that is being made; answers its number.
    ///
    /// # Errors
    /// `Conflict` when it is not being made any more: plan again.
    pub fn begin_copy_attempt(&mut self, id: CopyId) -> Result<u32, StoreError> {
        let copy = self.get_copy(id)?;
        if !matches!(copy.state, State::Copying { .. }) {
            let found = copy.state.name();
            return Err(StoreError::Conflict { id: id.to_string(), expected: "copying", found });
        }
        row::run(self.connection, "UPDATE copies SET attempt = attempt + 1 WHERE id = ?1", [id.row()])?;
        let attempt = copy.attempt + 1;
        self.tell_copy(copy.place(), Fact::Begun { copy: id, attempt })?;
        Ok(attempt)
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same. The oldest rows beyond those that are kept go.
    ///
    /// # Errors
    /// `Conflict` when the copy is not in `from` any more: plan again.
    pub fn set_copy_state(&mut self, id: CopyId, from: &State, to: State) -> Result<(), StoreError> {
        let copy = self.get_copy(id)?;
        if copy.state != *from {
            let (expected, found) = (from.name(), copy.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if copy.state == to {
            return Ok(());
        }
        let is_final = to.is_final();
        row::run(
            self.connection,
            "UPDATE copies SET state = ?2, is_open = ?3 WHERE id = ?1",
            (id.row(), row::to_json("a state", &to)?, !is_final),
        )?;
        self.tell_copy(copy.place(), Fact::StateChanged { copy: id, to })?;
        if is_final {
            self.set_waiting("copy", id.row(), "")?;
            row::run(
                self.connection,
                "DELETE FROM copies WHERE target = ?1 AND is_open = 0 AND id NOT IN \
                 (SELECT id FROM copies WHERE target = ?1 ORDER BY id DESC LIMIT ?2)",
                (copy.target.row(), KEPT),
            )?;
        }
        Ok(())
    }

    /// Asks for a copy to be cancelled; nothing happens when it has ended or was asked before.
    pub fn request_copy_cancel(&mut self, id: CopyId) -> Result<(), StoreError> {
        let copy = self.get_copy(id)?;
        if copy.cancel_requested || copy.state.is_final() {
            return Ok(());
        }
        row::run(self.connection, "UPDATE copies SET cancel_requested = 1 WHERE id = ?1", [id.row()])?;
        self.tell_copy(copy.place(), Fact::CancelRequested { copy: id })
    }

    /// Tells that somebody was given a dump of a database.
    pub fn tell_dump(&mut self, database: &Database, format: DumpFormat) -> Result<(), StoreError> {
        self.tell_copy(database.place(), Fact::Dumped { format })
    }

    /// Tells what was done about one person, who is named by a hash.
    pub fn tell_person(
        &mut self,
        database: &Database,
        what: PersonAct,
        person: String,
        rows: Option<u64>,
    ) -> Result<(), StoreError> {
        self.tell_copy(database.place(), Fact::Person { what, person, rows })
    }

    fn tell_copy(&mut self, database: DatabasePlace, fact: Fact) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Copy(Event { database, fact }))?;
        Ok(())
    }
}
