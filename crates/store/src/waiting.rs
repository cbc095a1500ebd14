//! What each item of a loop plans and waits for, as text for people: the answer to *why does it wait*.
//! Tests: `tests/it/waiting.rs`.

use havre_core::id::ServiceId;

use crate::error::StoreError;
use crate::row;
use crate::view::{Tx, View};

/// Longest text kept; the rest is cut.
pub const WAITING_MAX: usize = 16 * 1024;

impl View<'_> {
    /// What item `id` of `room` (such as `deployment`) plans and waits for, if anything.
    pub fn waiting(&self, room: &str, id: i64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT text FROM waiting WHERE room = ?1 AND id = ?2";
        row::find(self.connection, sql, (room, id), |row| Ok(row.get(0)?))
    }
}

impl Tx<'_> {
    /// Records what an item plans and waits for; writes only when it differs; empty text for nothing. No event: it
    /// is about now. Those of builds, deployments and runs of jobs are removed when these end.
    pub fn set_waiting(&mut self, room: &str, id: i64, text: &str) -> Result<(), StoreError> {
        let text = &text[..text.floor_char_boundary(WAITING_MAX)];
        if self.waiting(room, id)?.as_deref().unwrap_or_default() == text {
            return Ok(());
        }
        if text.is_empty() {
            row::run(self.connection, "DELETE FROM waiting WHERE room = ?1 AND id = ?2", (room, id))?;
            return Ok(());
        }
        row::run(
            self.connection,
            "INSERT INTO waiting (room, id, text) VALUES (?1, ?2, ?3) \
             ON CONFLICT (room, id) DO UPDATE SET text = excluded.text",
            (room, id, text),
        )?;
        Ok(())
    }

    /// Forgets what a service and its builds, deployments and runs of jobs waited for.
    pub(crate) fn forget_waiting_of(&mut self, service: ServiceId) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "DELETE FROM waiting WHERE (room = 'service' AND id = ?1) \
             OR (room = 'deployment' AND id IN (SELECT id FROM deployments WHERE service = ?1)) \
             OR (room = 'build' AND id IN (SELECT id FROM builds WHERE service = ?1)) \
             OR (room = 'job' AND id IN (SELECT id FROM job_runs WHERE service = ?1))",
            [service.row()],
        )?;
        Ok(())
    }
}
