//! Swaps of the names of databases, and upgrades: what was asked for, where each stands, and what goes with each step in one transaction. What
//! comes next is decided in `havre_decide::swap`. Tests: `tests/it/swap.rs`.

use havre_core::backup::policy::what_of;
use havre_core::copy::Origin as CopyOrigin;
use havre_core::database::event::Fact;
use havre_core::database::{Database, RoleState};
use havre_core::id::{BackupRunId, DatabaseId, EnvironmentId, SwapId};
use havre_core::name::{DatabaseName, ServiceName, TargetName};
use havre_decide::swap::plan::Next;
use havre_decide::swap::state::{Outcome, State};
use havre_decide::swap::{KEPT, Names, Swap, Wish, aside_name, exchanged, upgrade_name, upgraded};
use havre_rescue::line::saved_in;
use rusqlite::Row;

use crate::backup::NewRestore;
use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// What takes the name of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapping {
    /// This one.
    With(DatabaseId),
    /// A new one, made of a backup.
    Upgrade {
        /// Major version of its server.
        version: u8,
        /// Where the backup goes.
        target: TargetName,
    },
}

/// A swap that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSwap {
    /// The database that has the name.
    pub front: DatabaseId,
    /// What takes it.
    pub with: Swapping,
}

const SELECT: &str = "SELECT id, environment, project, environment_name, front, back, names, wish, state, cancel_requested, created_at \
    FROM swaps WHERE";

fn read(row: &Row<'_>) -> Result<Swap, StoreError> {
    let origin = Origin::of("swaps", row)?;
    Ok(Swap {
        id: SwapId::new(origin.id),
        environment: EnvironmentId::new(row.get("environment")?),
        project: origin.text(row, "project")?,
        environment_name: origin.text(row, "environment_name")?,
        front: DatabaseId::new(row.get("front")?),
        back: row.get::<_, Option<i64>>("back")?.map(DatabaseId::new),
        names: origin.json(row, "names")?,
        wish: origin.json(row, "wish")?,
        state: origin.json(row, "state")?,
        cancel_requested: row.get("cancel_requested")?,
        created_at: row::instant(row, "created_at")?,
    })
}

impl View<'_> {
    /// One swap.
    pub fn get_swap(&self, id: SwapId) -> Result<Swap, StoreError> {
        row::find(self.connection, &format!("{SELECT} id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("swap", id))
    }

    /// Every swap that has not ended, oldest first.
    pub fn list_open_swaps(&self) -> Result<Vec<Swap>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY id"), [], read)
    }

    /// Swaps of an environment, newest first.
    pub fn list_swaps(&self, environment: EnvironmentId) -> Result<Vec<Swap>, StoreError> {
        let sql = format!("{SELECT} environment = ?1 ORDER BY id DESC");
        row::list(self.connection, &sql, [environment.row()], read)
    }

    /// The swap of a database that has not ended, if there is one.
    pub fn find_open_swap(&self, id: DatabaseId) -> Result<Option<Swap>, StoreError> {
        let sql = format!("{SELECT} is_open = 1 AND (front = ?1 OR back = ?1) ORDER BY id LIMIT 1");
        row::find(self.connection, &sql, [id.row()], read)
    }

    /// Refuses what must not happen to a database while it is swapped.
    ///
    /// # Errors
    /// `SwapRunning`.
    pub fn check_not_swapped(&self, database: &Database) -> Result<(), StoreError> {
        match self.find_open_swap(database.id)? {
            None => Ok(()),
            Some(swap) => Err(StoreError::SwapRunning { place: Box::new(database.place()), swap: swap.id }),
        }
    }

    /// Refuses a swap that something under way would break, or that would break it.
    ///
    /// # Errors
    /// As [`Tx::request_swap`].
    pub fn check_swap(&self, new: &NewSwap) -> Result<(), StoreError> {
        let front = self.get_database(new.front)?;
        self.check_idle(&front)?;
        self.check_settled(&front)?;
        match &new.with {
            Swapping::Upgrade { target, .. } => self.get_backup_target(target).map(|_| ()),
            Swapping::With(id) => {
                let back = self.get_database(*id)?;
                self.check_idle(&back)?;
                let users: Vec<ServiceName> = self.list_database_users(&back)?.into_iter().collect();
                if !users.is_empty() {
                    return Err(StoreError::DatabaseInUse { place: back.place(), users });
                }
                // Those that are left would be taken for ones that let services in.
                match self.list_database_roles(back.id)?.is_empty() {
                    true => Ok(()),
                    false => {
                        Err(refused(&back, "services that used it are still being locked out".to_owned()))
                    }
                }
            }
        }
    }

    /// Nothing is under way that a swap of this database would break, or that would break it.
    fn check_idle(&self, database: &Database) -> Result<(), StoreError> {
        if database.state.is_destroying() {
            return Err(StoreError::BeingDestroyed { place: database.place() });
        }
        self.check_not_swapped(database)?;
        if !database.state.is_ready() {
            return Err(refused(database, format!("it is {}, and has to be ready", database.shown_state())));
        }
        let reads = |origin: &CopyOrigin| match origin {
            CopyOrigin::Database { id, .. } => *id == database.id,
            CopyOrigin::Upload => false,
        };
        let copies = self.list_open_copies()?;
        if let Some(copy) = copies.iter().find(|copy| copy.target == database.id || reads(&copy.origin)) {
            return Err(refused(database, format!("the copy {} has not ended", copy.id)));
        }
        let restores = self.list_open_restores()?;
        if let Some(restore) = restores.iter().find(|restore| restore.database == database.id) {
            return Err(refused(database, format!("the restore {} into it has not ended", restore.id)));
        }
        let what = what_of(database);
        match self.list_unfinished_backup_runs()?.into_iter().find(|run| saved_in(&run.what) == what) {
            None => Ok(()),
            Some(run) => {
                Err(StoreError::BackupRunning { what: Box::new(run.what), target: run.target, run: run.id })
            }
        }
    }

    /// No service gets another password or another release right now.
    fn check_settled(&self, database: &Database) -> Result<(), StoreError> {
        for role in self.list_database_roles(database.id)? {
            if role.state != RoleState::Made {
                let service = role.name.service;
                return Err(StoreError::RotationRunning { place: database.place(), service });
            }
        }
        let users = self.list_database_users(database)?;
        for service in self.list_environment_services(database.environment)? {
            let open = self.open_deployments(service.id)?;
            if let Some(open) = open.first().filter(|_| users.contains(&service.place.service)) {
                let why = format!("the deployment {} of {} has not ended", open.id, service.place.service);
                return Err(refused(database, why));
            }
        }
        Ok(())
    }

    /// Names that databases and services of an environment have.
    fn taken_names(&self, environment: EnvironmentId) -> Result<Vec<ServiceName>, StoreError> {
        let databases = self.list_environment_databases(environment)?;
        let services = self.list_environment_services(environment)?;
        let names = databases.iter().map(|row| ServiceName::from(&row.spec.name));
        Ok(names.chain(services.into_iter().map(|service| service.place.service)).collect())
    }
}

fn refused(database: &Database, why: String) -> StoreError {
    StoreError::SwapRefused { place: Box::new(database.place()), why }
}

impl Tx<'_> {
    /// Records a swap or an upgrade that somebody asked for.
    ///
    /// # Errors
    /// `SwapRefused`, `SwapRunning`, `BackupRunning`, `RotationRunning`, `DatabaseInUse` where services use the other one, `BeingDestroyed`.
    pub fn request_swap(&mut self, new: &NewSwap) -> Result<Swap, StoreError> {
        self.check_swap(new)?;
        let front = self.get_database(new.front)?;
        let taken = self.taken_names(front.environment)?;
        let is_taken = |name: &DatabaseName| taken.contains(&ServiceName::from(name));
        let name = front.spec.name.clone();
        let (back, other, wish) = match &new.with {
            Swapping::With(id) => {
                let back = self.get_database(*id)?;
                (Some(back.id), back.spec.name, Wish::Exchange)
            }
            Swapping::Upgrade { version, target } => {
                let wish = Wish::Upgrade { version: *version, target: target.clone() };
                (None, upgrade_name(&name, *version, is_taken), wish)
            }
        };
        let names = Names { aside: aside_name(&name, self.at, is_taken), name, other };
        row::run(
            self.connection,
            "INSERT INTO swaps (environment, project, environment_name, front, back, names, wish, state, is_open, cancel_requested, \
             created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, 0, ?9)",
            (
                front.environment.row(),
                front.project.as_str(),
                front.environment_name.as_str(),
                front.id.row(),
                back.map(DatabaseId::row),
                row::to_json("names", &names)?,
                row::to_json("a wish", &wish)?,
                row::to_json("a state", &State::Closing { since: self.at })?,
                self.at.as_millis(),
            ),
        )?;
        let swap = self.get_swap(SwapId::new(self.connection.last_insert_rowid()))?;
        let to = match &swap.wish {
            Wish::Exchange => format!("to be swapped with {}", swap.names.other),
            Wish::Upgrade { version, .. } => format!("to be upgraded to version {version}"),
        };
        self.tell_place(swap.place(), Fact::SwapChanged { swap: swap.id, to })?;
        Ok(swap)
    }

    /// Replaces the state `from` by what comes next, with everything that goes with it.
    ///
    /// # Errors
    /// `Conflict` when the swap is not in `from` any more, or a database is not as it has to be: plan again.
    pub fn advance_swap(&mut self, id: SwapId, from: &State, next: &Next) -> Result<(), StoreError> {
        let swap = self.get_swap(id)?;
        if swap.state != *from {
            let (expected, found) = (from.name(), swap.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        let since = self.at;
        let to = match next {
            Next::State(state) => state.clone(),
            Next::Save => self.save_for(&swap)?,
            Next::Restore => self.restore_for(&swap)?,
            Next::Exchange => {
                self.exchange(&swap)?;
                State::Starting { since }
            }
            Next::Deploy => self.deploy_for(&swap)?,
            Next::Undo(outcome) => self.give_up(&swap, outcome)?,
        };
        self.set_swap_state(&swap, to)
    }

    pub(crate) fn set_swap_state(&mut self, swap: &Swap, to: State) -> Result<(), StoreError> {
        if swap.state == to {
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE swaps SET state = ?2, is_open = ?3 WHERE id = ?1",
            (swap.id.row(), row::to_json("a state", &to)?, !to.is_final()),
        )?;
        self.tell_place(swap.place(), Fact::SwapChanged { swap: swap.id, to: to.to_string() })?;
        if to.is_final() {
            self.set_waiting("swap", swap.id.row(), "")?;
            row::run(
                self.connection,
                "DELETE FROM swaps WHERE environment = ?1 AND is_open = 0 AND id NOT IN \
                 (SELECT id FROM swaps WHERE environment = ?1 ORDER BY id DESC LIMIT ?2)",
                (swap.environment.row(), KEPT),
            )?;
        }
        Ok(())
    }

    fn save_for(&mut self, swap: &Swap) -> Result<State, StoreError> {
        let Wish::Upgrade { target, .. } = &swap.wish else { return Ok(swap.state.clone()) };
        let front = self.get_database(swap.front)?;
        let run = self.create_backup_run(&what_of(&front), target)?.id;
        Ok(State::Saving { since: self.at, run })
    }

    fn restore_for(&mut self, swap: &Swap) -> Result<State, StoreError> {
        let (Wish::Upgrade { version, .. }, State::Saving { run, .. }) = (&swap.wish, &swap.state) else {
            return Ok(swap.state.clone());
        };
        let front = self.get_database(swap.front)?;
        let run = self.get_backup_run(*run)?;
        let manifest = run.manifest.ok_or_else(|| StoreError::not_found("manifest of", run.id))?;
        let spec = upgraded(&front.spec, *version, &swap.names.other)
            .map_err(|unfit| refused(&front, unfit.to_string()))?;
        let (environment, source) = (front.environment, front.spec.name);
        let (target, recovery) = (run.target, None);
        let restore =
            self.create_restore(&NewRestore { environment, source, spec, target, manifest, recovery })?;
        let sql = "UPDATE swaps SET back = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (swap.id.row(), restore.database.row()))?;
        Ok(State::Restoring { since: self.at, restore: restore.id })
    }

    /// Both get their new names; neither may have a task.
    fn exchange(&mut self, swap: &Swap) -> Result<(), StoreError> {
        let Some(back) = swap.back else { return Err(StoreError::not_found("other database of", swap.id)) };
        let (front, back) = (self.get_database(swap.front)?, self.get_database(back)?);
        let (aside, becomes) = exchanged(&front, &back, &swap.names);
        // In this order: no two databases of an environment have one name.
        self.rename_database(&front, &aside)?;
        self.rename_database(&back, &becomes)
    }

    fn deploy_for(&mut self, swap: &Swap) -> Result<State, StoreError> {
        let Some(back) = swap.back else { return Err(StoreError::not_found("other database of", swap.id)) };
        let back = self.get_database(back)?;
        let users = self.list_database_users(&back)?;
        let mut deployments = Vec::new();
        for service in self.list_environment_services(back.environment)? {
            if users.contains(&service.place.service) {
                deployments.extend(self.redeploy(&service)?);
            }
        }
        Ok(State::Deploying { since: self.at, deployments })
    }

    /// What was begun for it goes; the names inside of servers follow.
    fn give_up(&mut self, swap: &Swap, outcome: &Outcome) -> Result<State, StoreError> {
        if let State::Saving { run, .. } = &swap.state {
            self.cancel_run(*run)?;
        }
        let is_made = matches!(swap.wish, Wish::Upgrade { .. });
        if let Some(back) = swap.back.filter(|_| is_made) {
            match self.request_database_destroy(back, self.at) {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(State::Undoing { since: self.at, outcome: outcome.clone() })
    }

    fn cancel_run(&mut self, run: BackupRunId) -> Result<(), StoreError> {
        match self.request_backup_cancel(run) {
            // Old rows go by themselves.
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks for a swap to be cancelled; nothing happens when it was asked before.
    pub fn request_swap_cancel(&mut self, id: SwapId) -> Result<(), StoreError> {
        let swap = self.get_swap(id)?;
        if swap.cancel_requested || !swap.state.may_be_cancelled() {
            return Ok(());
        }
        row::run(self.connection, "UPDATE swaps SET cancel_requested = 1 WHERE id = ?1", [id.row()])?;
        let to = "should be cancelled".to_owned();
        self.tell_place(swap.place(), Fact::SwapChanged { swap: id, to })
    }
}
