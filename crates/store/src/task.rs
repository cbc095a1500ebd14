//! Tasks and their addresses. Rows come before the engine is asked, so that a crash leaves nothing unknown.
//! Tests: `tests/it/task.rs`; the choice of addresses is in `pool`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use havre_core::event::EventKind;
use havre_core::id::{DeploymentId, ReleaseId, ServiceId, TaskId};
use havre_core::task::event::{DrainReason, Event};
use havre_core::task::{Task, WantedTask};
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// Failures further apart than this have nothing to do with each other.
pub const FAILURE_MEMORY: Duration = Duration::from_secs(600);

/// How often tasks of a service ended by themselves lately; spaces the next attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// Number of failures, each at most [`FAILURE_MEMORY`] after the one before, since a release last went live.
    pub count: u32,
    /// The newest of them; whether it still matters is for the reader to judge.
    pub last: Timestamp,
}

const SELECT: &str = "SELECT id, service, release, slot, address, wanted, proven_at, unhealthy_since, created_at \
    FROM tasks";

fn read(row: &Row<'_>) -> Result<Task, StoreError> {
    let origin = Origin::of("tasks", row)?;
    let address = match row.get_ref("address")? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(origin.text::<Ipv4Addr>(row, "address")?),
    };
    Ok(Task {
        id: TaskId::new(origin.id),
        service: ServiceId::new(row.get("service")?),
        release: ReleaseId::new(row.get("release")?),
        slot: row.get("slot")?,
        address,
        wanted: origin.json(row, "wanted")?,
        proven_at: row::instant_or_none(row, "proven_at")?,
        unhealthy_since: row::instant_or_none(row, "unhealthy_since")?,
        created_at: row::instant(row, "created_at")?,
    })
}

impl View<'_> {
    /// The tasks of a service, oldest first.
    pub fn list_tasks(&self, service: ServiceId) -> Result<Vec<Task>, StoreError> {
        let sql = format!("{SELECT} WHERE service = ?1 ORDER BY id");
        row::list(self.connection, &sql, [service.row()], read)
    }

    /// Every task, oldest first.
    pub fn list_all_tasks(&self) -> Result<Vec<Task>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY id"), [], read)
    }

    /// One task.
    pub fn get_task(&self, id: TaskId) -> Result<Task, StoreError> {
        self.find_task(id)?.ok_or_else(|| StoreError::not_found("task", id))
    }

    fn find_task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)
    }

    /// How often tasks of the service failed lately; `None` when none did since a release last went live.
    pub fn task_failures(&self, service: ServiceId) -> Result<Option<Failures>, StoreError> {
        let sql = "SELECT failures, last_failure_at FROM services WHERE id = ?1";
        let found = row::find(self.connection, sql, [service.row()], |row| {
            let count = row.get(0)?;
            Ok(row::instant_or_none(row, "last_failure_at")?.map(|last| Failures { count, last }))
        })?;
        found.ok_or_else(|| StoreError::not_found("service", service))
    }
}

impl Tx<'_> {
    /// Records a task that should run, with the next address of the pool where it wants one.
    ///
    /// # Errors
    /// `PoolExhausted` when every address is in use.
    pub fn allocate_task(
        &mut self,
        service: ServiceId,
        release: ReleaseId,
        slot: u32,
        wants_address: bool,
    ) -> Result<Task, StoreError> {
        let address = if wants_address { Some(self.take_address()?) } else { None };
        row::run(
            self.connection,
            "INSERT INTO tasks (service, release, slot, address, wanted, is_run, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)",
            (
                service.row(),
                release.row(),
                slot,
                address.map(|address| address.to_string()),
                row::to_json("a wanted state", &WantedTask::Run)?,
                self.at.as_millis(),
            ),
        )?;
        let task = TaskId::new(self.connection.last_insert_rowid());
        self.tell(service, EventKind::Task(Event::Allocated { task, release, slot }))?;
        self.get_task(task)
    }

    fn take_address(&mut self) -> Result<Ipv4Addr, StoreError> {
        let sql = "SELECT id, address FROM tasks WHERE address IS NOT NULL";
        let taken: BTreeSet<Ipv4Addr> =
            row::list(self.connection, sql, [], |row| Origin::of("tasks", row)?.text(row, "address"))?
                .into_iter()
                .collect();
        let sql = "SELECT id, last_address FROM installation WHERE last_address IS NOT NULL";
        let last = row::find(self.connection, sql, [], |row| {
            Origin::of("installation", row)?.text(row, "last_address")
        })?;
        let pool = self.pools.edge;
        let address = pool.next_address(last, &taken).ok_or_else(|| StoreError::PoolExhausted {
            what: "address for a task",
            pool: pool.to_string(),
        })?;
        row::run(self.connection, "UPDATE installation SET last_address = ?1", [address.to_string()])?;
        Ok(address)
    }

    /// Takes a task out of service until `deadline`; nothing happens when it drains already. `by` is the deployment
    /// that replaced it, if one did.
    pub fn drain_task(
        &mut self,
        id: TaskId,
        deadline: Timestamp,
        by: Option<DeploymentId>,
        reason: DrainReason,
    ) -> Result<(), StoreError> {
        let task = self.get_task(id)?;
        if !task.wanted.is_run() {
            return Ok(());
        }
        let wanted = row::to_json("a wanted state", &WantedTask::Drain { deadline, by })?;
        let sql = "UPDATE tasks SET wanted = ?2, is_run = 0 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), wanted))?;
        let event = Event::DrainStarted { task: id, deadline, reason };
        self.tell(task.service, EventKind::Task(event))?;
        Ok(())
    }

    /// Records that a task may get traffic; nothing happens when it may already.
    pub fn prove_task(&mut self, id: TaskId) -> Result<(), StoreError> {
        let task = self.get_task(id)?;
        self.prove(&task, self.at)
    }

    /// Proves every task of a release that should run.
    pub(crate) fn prove_tasks_of(&mut self, release: ReleaseId, now: Timestamp) -> Result<(), StoreError> {
        let sql = format!("{SELECT} WHERE release = ?1 AND is_run = 1 ORDER BY id");
        for task in row::list(self.connection, &sql, [release.row()], read)? {
            self.prove(&task, now)?;
        }
        Ok(())
    }

    fn prove(&mut self, task: &Task, now: Timestamp) -> Result<(), StoreError> {
        if task.proven_at.is_some() {
            return Ok(());
        }
        let sql = "UPDATE tasks SET proven_at = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (task.id.row(), now.as_millis()))?;
        self.tell(task.service, EventKind::Task(Event::Proven { task: task.id }))?;
        Ok(())
    }

    /// Records that the edges call a task unhealthy; nothing happens when that is known.
    pub fn mark_unhealthy(&mut self, id: TaskId, reason: &str) -> Result<(), StoreError> {
        let task = self.get_task(id)?;
        if task.unhealthy_since.is_some() {
            return Ok(());
        }
        let sql = "UPDATE tasks SET unhealthy_since = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), self.at.as_millis()))?;
        let event = Event::Unhealthy { task: id, reason: reason.to_owned() };
        self.tell(task.service, EventKind::Task(event))?;
        Ok(())
    }

    /// Records that the edges call a task healthy again; nothing happens when it was not unhealthy.
    pub fn mark_recovered(&mut self, id: TaskId) -> Result<(), StoreError> {
        let task = self.get_task(id)?;
        if task.unhealthy_since.is_none() {
            return Ok(());
        }
        row::run(self.connection, "UPDATE tasks SET unhealthy_since = NULL WHERE id = ?1", [id.row()])?;
        self.tell(task.service, EventKind::Task(Event::Recovered { task: id }))?;
        Ok(())
    }

    /// Records that a task ended without being asked to, and counts a failure of its service. A task ends once:
    /// later calls change nothing.
    pub fn record_task_exit(
        &mut self,
        id: TaskId,
        code: i64,
        out_of_memory: bool,
        last_lines: &[String],
    ) -> Result<(), StoreError> {
        let task = self.get_task(id)?;
        let sql = "UPDATE tasks SET has_exited = 1 WHERE id = ?1 AND has_exited = 0";
        if row::run(self.connection, sql, [id.row()])? == 0 {
            return Ok(());
        }
        let count = match self.task_failures(task.service)? {
            Some(before) if self.at.since(before.last) <= FAILURE_MEMORY => before.count.saturating_add(1),
            _ => 1,
        };
        let sql = "UPDATE services SET failures = ?2, last_failure_at = ?3 WHERE id = ?1";
        row::run(self.connection, sql, (task.service.row(), count, self.at.as_millis()))?;
        let event = Event::Exited { task: id, code, out_of_memory, last_lines: last_lines.to_vec() };
        self.tell(task.service, EventKind::Task(event))?;
        Ok(())
    }

    /// Removes a task the engine has nothing of any more, and frees its address; nothing happens when it is gone.
    pub fn forget_task(&mut self, id: TaskId) -> Result<(), StoreError> {
        let Some(task) = self.find_task(id)? else { return Ok(()) };
        row::run(self.connection, "DELETE FROM tasks WHERE id = ?1", [id.row()])?;
        self.tell(task.service, EventKind::Task(Event::Removed { task: id }))?;
        Ok(())
    }
}
