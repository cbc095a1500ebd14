//! Managed databases: what is wanted of each, where it stands, and its sealed passwords. What comes next is decided in
//! `havre_core::database`. Roles are in `role.rs`, those whose data is not there in `lost.rs`. Tests: `tests/it/database.rs`.

mod lost;
mod role;

use std::collections::BTreeSet;

use havre_core::backup;
use havre_core::backup::policy::what_of;
use havre_core::database::event::{Event, Fact};
use havre_core::database::spec::DatabaseSpec;
use havre_core::database::state::State;
use havre_core::database::task::Superuser;
use havre_core::database::{Database, Image};
use havre_core::event::{EventKind, Subject};
use havre_core::id::{DatabaseId, EnvironmentId, ReleaseId};
use havre_core::name::{DatabaseName, EnvironmentName, ProjectName, ServiceName};
use havre_core::route::settings::auth::SecretDigest;
use havre_core::secret::Secret;
use havre_core::service::{Place as DatabasePlace, Service};
use havre_core::time::Timestamp;
use havre_decide::database::throw_away::Passwords;
use rusqlite::Row;
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::seal::{Place, random_password};
use crate::service::Applied;
use crate::view::{Tx, View};

const SELECT: &str = "SELECT databases.id, environment, projects.name AS project_name, environments.name AS environment_name, spec, \
    revision, started_revision, task, image, ready_at, state, databases.created_at FROM databases \
    JOIN environments ON environments.id = environment JOIN projects ON projects.id = project";

fn read(row: &Row<'_>) -> Result<Database, StoreError> {
    let origin = Origin::of("databases", row)?;
    Ok(Database {
        id: DatabaseId::new(origin.id),
        environment: EnvironmentId::new(row.get("environment")?),
        project: origin.text(row, "project_name")?,
        environment_name: origin.text(row, "environment_name")?,
        spec: origin.json(row, "spec")?,
        revision: origin.count(row, "revision")?,
        started_revision: origin.count(row, "started_revision")?,
        task: row.get("task")?,
        image: match row.get::<_, Option<String>>("image")? {
            Some(_) => Some(origin.json(row, "image")?),
            None => None,
        },
        ready_at: row::instant_or_none(row, "ready_at")?,
        state: origin.json(row, "state")?,
        created_at: row::instant(row, "created_at")?,
    })
}

/// SHA-256 of a password of ours: it has enough randomness of its own to need no salt.
pub(crate) fn digest(password: &Secret) -> SecretDigest {
    SecretDigest::new(Sha256::digest(password.expose()).into())
}

/// New passwords for a throw-away database of a test, which no row keeps.
///
/// # Errors
/// `Random` when the operating system gives no random bytes.
pub fn throw_away_passwords() -> Result<Passwords, StoreError> {
    let (password, role) = (random_password()?, random_password()?);
    let superuser = Superuser { digest: digest(&password), password };
    Ok(Passwords { superuser, role_digest: digest(&role), role })
}

/// The superuser's password is bound to the names, because a row has no id before it is there.
fn row_name(environment: EnvironmentId, name: &DatabaseName) -> String {
    format!("{environment}/{name}")
}

fn place(row: &str) -> Place<'_> {
    Place { table: "databases", row, column: "sealed_password" }
}

/// `postgres 16`, for people.
fn server(spec: &DatabaseSpec) -> String {
    format!("{} {}", spec.engine, spec.version)
}

impl View<'_> {
    /// All databases, by id.
    pub fn list_databases(&self) -> Result<Vec<Database>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY databases.id"), [], read)
    }

    /// The databases of one environment, by name.
    pub fn list_environment_databases(&self, id: EnvironmentId) -> Result<Vec<Database>, StoreError> {
        let sql = format!("{SELECT} WHERE environment = ?1 ORDER BY databases.name");
        row::list(self.connection, &sql, [id.row()], read)
    }

    /// The database with these names, if there is one; it may be on its way out.
    pub fn find_database(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        name: &DatabaseName,
    ) -> Result<Option<Database>, StoreError> {
        let sql =
            format!("{SELECT} WHERE projects.name = ?1 AND environments.name = ?2 AND databases.name = ?3");
        row::find(self.connection, &sql, (project.as_str(), environment.as_str(), name.as_str()), read)
    }

    /// The database of this name in an environment, if there is one; it may be on its way out.
    pub fn find_environment_database(
        &self,
        environment: EnvironmentId,
        name: &DatabaseName,
    ) -> Result<Option<Database>, StoreError> {
        let sql = format!("{SELECT} WHERE environment = ?1 AND databases.name = ?2");
        row::find(self.connection, &sql, (environment.row(), name.as_str()), read)
    }

    /// One database.
    pub fn get_database(&self, id: DatabaseId) -> Result<Database, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE databases.id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("database", id))
    }

    /// How the superuser of a database proves who it is.
    ///
    /// # Errors
    /// `Sealed` where its password cannot be opened.
    pub fn get_database_superuser(&self, database: &Database) -> Result<Superuser, StoreError> {
        let sql = "SELECT sealed_password FROM databases WHERE id = ?1";
        let sealed: Option<Vec<u8>> =
            row::find(self.connection, sql, [database.id.row()], |row| Ok(row.get(0)?))?;
        let sealed = sealed.ok_or_else(|| StoreError::not_found("database", database.id))?;
        let name = row_name(database.environment, &database.spec.name);
        let password = self.master_key()?.open(&sealed, place(&name))?;
        Ok(Superuser { digest: digest(&password), password })
    }

    /// Services whose tasks use a database or will: as they are specified, or in a release that is live or has tasks.
    pub fn list_database_users(&self, database: &Database) -> Result<BTreeSet<ServiceName>, StoreError> {
        let mut users = BTreeSet::new();
        for service in self.list_environment_services(database.environment)? {
            if self.is_user(&service, &database.spec.name)? {
                users.insert(service.place.service);
            }
        }
        Ok(users)
    }

    fn is_user(&self, service: &Service, name: &DatabaseName) -> Result<bool, StoreError> {
        if service.destroyed_at.is_none() && service.spec.uses().contains(name) {
            return Ok(true);
        }
        let tasks = self.list_tasks(service.id)?.into_iter().map(|task| task.release);
        let open = self.open_deployments(service.id)?.into_iter().map(|open| open.release);
        let releases: BTreeSet<ReleaseId> = tasks.chain(open).chain(service.live).collect();
        for release in releases {
            if self.get_release(release)?.spec.uses().contains(name) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Tx<'_> {
    /// Makes the database of this name be as specified; one that is new gets a password for its superuser.
    ///
    /// # Errors
    /// `OtherServer` where server or version differ, `NameTaken` where a service has the name, `BeingDestroyed`, `NoMasterKey`.
    pub fn apply_database(
        &mut self,
        environment: EnvironmentId,
        spec: &DatabaseSpec,
    ) -> Result<(Database, Applied), StoreError> {
        let Some(database) = self.find_environment_database(environment, &spec.name)? else {
            return self.create_database(environment, spec);
        };
        if database.state.is_destroying() {
            return Err(StoreError::BeingDestroyed { place: database.place() });
        }
        if (database.spec.engine, database.spec.version) != (spec.engine, spec.version) {
            let (is, wanted) = (server(&database.spec), server(spec));
            return Err(StoreError::OtherServer { place: Box::new(database.place()), is, wanted });
        }
        if database.spec == *spec {
            return Ok((database, Applied::Unchanged));
        }
        self.check_not_swapped(&database)?;
        if database.spec.is_same_server(spec) {
            return self.change_backup_policy(&database, spec);
        }
        // The same name keeps the image it has: a tag that moved is not followed because the memory changed.
        let keeps_image = database.spec.reference() == spec.reference();
        row::run(
            self.connection,
            "UPDATE databases SET spec = ?2, revision = ?3, image = iif(?4, image, NULL) WHERE id = ?1",
            (
                database.id.row(),
                row::to_json("a specification", spec)?,
                column(database.revision + 1),
                keeps_image,
            ),
        )?;
        self.tell_database(&database, Fact::Changed { revision: database.revision + 1 })?;
        Ok((self.get_database(database.id)?, Applied::Changed))
    }

    /// Only what is promised of its backups is different: its task goes on.
    fn change_backup_policy(
        &mut self,
        database: &Database,
        spec: &DatabaseSpec,
    ) -> Result<(Database, Applied), StoreError> {
        let json = row::to_json("a specification", spec)?;
        row::run(self.connection, "UPDATE databases SET spec = ?2 WHERE id = ?1", (database.id.row(), json))?;
        self.tell_backup(backup::event::Event::PolicyChanged { what: what_of(database) })?;
        Ok((self.get_database(database.id)?, Applied::Changed))
    }

    fn create_database(
        &mut self,
        environment: EnvironmentId,
        spec: &DatabaseSpec,
    ) -> Result<(Database, Applied), StoreError> {
        self.get_environment(environment)?;
        let is_service = self
            .list_environment_services(environment)?
            .into_iter()
            .any(|service| service.place.service == ServiceName::from(&spec.name));
        if is_service {
            return Err(StoreError::NameTaken { kind: "service", name: spec.name.to_string() });
        }
        // A swap gives it to the database it takes the name from.
        let swaps = self.list_open_swaps()?;
        if swaps.iter().any(|swap| swap.environment == environment && swap.names.aside == spec.name) {
            return Err(StoreError::NameTaken { kind: "database", name: spec.name.to_string() });
        }
        let password = random_password()?;
        let sealed = self.master_key()?.seal(&password, place(&row_name(environment, &spec.name)))?;
        let state = State::Starting { since: self.at, failures: 0 };
        row::run(
            self.connection,
            "INSERT INTO databases (environment, name, spec, revision, started_revision, task, state, sealed_password, created_at) \
             VALUES (?1, ?2, ?3, 1, 1, 1, ?4, ?5, ?6)",
            (
                environment.row(),
                spec.name.as_str(),
                row::to_json("a specification", spec)?,
                row::to_json("a state", &state)?,
                sealed,
                self.at.as_millis(),
            ),
        )?;
        let database = self.get_database(DatabaseId::new(self.connection.last_insert_rowid()))?;
        self.tell_database(&database, Fact::Created)?;
        Ok((database, Applied::Created))
    }

    /// Gives a database without a task another name, for which the superuser's password is sealed anew.
    ///
    /// # Errors
    /// `Conflict` when it has a task: plan again.
    pub(crate) fn rename_database(
        &mut self,
        database: &Database,
        spec: &DatabaseSpec,
    ) -> Result<(), StoreError> {
        if database.state.has_task() {
            let (id, found) = (database.id.to_string(), database.state.name());
            return Err(StoreError::Conflict { id, expected: "stopped", found });
        }
        let password = self.get_database_superuser(database)?.password;
        let sealed =
            self.master_key()?.seal(&password, place(&row_name(database.environment, &spec.name)))?;
        let revision = database.revision + 1;
        row::run(
            self.connection,
            "UPDATE databases SET name = ?2, spec = ?3, revision = ?4, sealed_password = ?5 WHERE id = ?1",
            (
                database.id.row(),
                spec.name.as_str(),
                row::to_json("a specification", spec)?,
                column(revision),
                sealed,
            ),
        )?;
        let renamed = self.get_database(database.id)?;
        self.tell_database(&renamed, Fact::Changed { revision })
    }

    /// One more task, as the database is specified now; replaces the state `from`.
    ///
    /// # Errors
    /// `Conflict` when the database is not in `from` any more: plan again.
    pub fn begin_database_task(
        &mut self,
        id: DatabaseId,
        from: &State,
        failures: u32,
    ) -> Result<(), StoreError> {
        self.get_database_in(id, from)?;
        row::run(
            self.connection,
            "UPDATE databases SET task = task + 1, started_revision = revision WHERE id = ?1",
            [id.row()],
        )?;
        self.set_database_state(id, from, State::Starting { since: self.at, failures })
    }

    /// The present task of a database gives way to another one of the same specification.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn renew_database_task(&mut self, id: DatabaseId) -> Result<(), StoreError> {
        let database = self.get_database(id)?;
        let revision = database.revision + 1;
        let sql = "UPDATE databases SET revision = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), column(revision)))?;
        self.tell_database(&database, Fact::Changed { revision })
    }

    /// Remembers what the present task of a database runs.
    pub fn set_database_image(&mut self, id: DatabaseId, image: &Image) -> Result<(), StoreError> {
        let json = row::to_json("an image", image)?;
        row::run(self.connection, "UPDATE databases SET image = ?2 WHERE id = ?1", (id.row(), json))?;
        Ok(())
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same.
    ///
    /// # Errors
    /// `Conflict` when the database is not in `from` any more: plan again.
    pub fn set_database_state(&mut self, id: DatabaseId, from: &State, to: State) -> Result<(), StoreError> {
        let database = self.get_database_in(id, from)?;
        if database.state == to {
            return Ok(());
        }
        let ready_at = to.is_ready().then_some(self.at.as_millis());
        row::run(
            self.connection,
            "UPDATE databases SET state = ?2, ready_at = coalesce(ready_at, ?3) WHERE id = ?1",
            (id.row(), row::to_json("a state", &to)?, ready_at),
        )?;
        self.tell_database(&database, Fact::StateChanged { task: database.task, to })
    }

    /// Asks for a database and its data to go; nothing happens when somebody has asked before.
    pub fn request_database_destroy(&mut self, id: DatabaseId, at: Timestamp) -> Result<(), StoreError> {
        let database = self.get_database(id)?;
        self.give_loss_up(&database)?;
        self.discard_database(id, at)
    }

    /// The same of what was made of a backup: where it was to take the place of one that is lost, that is lost still.
    pub(crate) fn discard_database(&mut self, id: DatabaseId, at: Timestamp) -> Result<(), StoreError> {
        let database = self.get_database(id)?;
        if database.state.is_destroying() {
            return Ok(());
        }
        let state = State::Destroying { since: at };
        row::run(
            self.connection,
            "UPDATE databases SET state = ?2 WHERE id = ?1",
            (id.row(), row::to_json("a state", &state)?),
        )?;
        self.tell_database(&database, Fact::DestroyRequested)
    }

    /// Removes a database whose data is gone, with its passwords.
    ///
    /// # Errors
    /// `NotDestroyed` when nobody asked for it.
    pub fn remove_database(&mut self, id: DatabaseId) -> Result<(), StoreError> {
        let database = self.get_database(id)?;
        if !database.state.is_destroying() {
            return Err(StoreError::NotDestroyed { place: database.place() });
        }
        self.delete_database(&database)?;
        self.tell_database(&database, Fact::Destroyed)?;
        self.follow_lost(&database)
    }

    fn delete_database(&mut self, database: &Database) -> Result<(), StoreError> {
        let id = database.id.row();
        self.set_waiting("database", id, "")?;
        row::run(self.connection, "DELETE FROM database_roles WHERE database = ?1", [id])?;
        row::run(self.connection, "DELETE FROM wal_spools WHERE database = ?1", [id])?;
        row::run(self.connection, "DELETE FROM databases WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Tells that a task of a database ended by itself.
    pub fn tell_database_end(&mut self, database: &Database, lines: Vec<String>) -> Result<(), StoreError> {
        self.tell_database(database, Fact::TaskEnded { task: database.task, lines })
    }

    fn get_database_in(&self, id: DatabaseId, from: &State) -> Result<Database, StoreError> {
        let database = self.get_database(id)?;
        if database.state != *from {
            let (expected, found) = (from.name(), database.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        Ok(database)
    }

    pub(crate) fn tell_database(&mut self, database: &Database, fact: Fact) -> Result<(), StoreError> {
        self.tell_place(database.place(), fact)
    }

    /// The same of a database that may be gone, or have another name.
    pub(crate) fn tell_place(&mut self, database: DatabasePlace, fact: Fact) -> Result<(), StoreError> {
        let event = Event { database, fact };
        self.append(Subject::Node, EventKind::Database(event))?;
        Ok(())
    }
}
