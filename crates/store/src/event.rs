//! The event log: past-tense facts in one order, written with what they explain, each chained to the one before.
//! Tests: `tests/it/event.rs`.

pub mod chain;

use havre_core::event::{Event, EventKind, Subject};
use havre_core::id::ServiceId;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::view::{Tx, View};

/// Events kept; older ones are pruned, so that the log cannot fill the disk.
pub const EVENTS_MAX: u64 = 100_000;
/// Most events one call answers; callers go on from the last one.
pub const EVENTS_PAGE_MAX: u32 = 10_000;

fn read(row: &Row<'_>) -> Result<Event, StoreError> {
    let origin = Origin::of("events", row)?;
    let service = row.get::<_, Option<i64>>("service")?.map(ServiceId::new);
    let cause = match row.get::<_, Option<i64>>("cause")? {
        Some(_) => Some(origin.count(row, "cause")?),
        None => None,
    };
    Ok(Event {
        seq: origin.count(row, "seq")?,
        at: row::instant(row, "at")?,
        actor: origin.json(row, "actor")?,
        subject: service.map_or(Subject::Node, |id| Subject::Service { id }),
        cause,
        kind: origin.json(row, "kind")?,
    })
}

impl View<'_> {
    /// Events behind `after`, oldest first; those of one service when one is named. At most `limit` and
    /// [`EVENTS_PAGE_MAX`].
    pub fn events(
        &self,
        after: u64,
        service: Option<ServiceId>,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let limit = limit.min(EVENTS_PAGE_MAX);
        let select = "SELECT seq, at, actor, service, cause, kind FROM events WHERE seq > ?1";
        match service {
            Some(service) => {
                let sql = format!("{select} AND service = ?2 ORDER BY seq LIMIT ?3");
                row::list(self.connection, &sql, (column(after), service.row(), limit), read)
            }
            None => {
                let sql = format!("{select} ORDER BY seq LIMIT ?2");
                row::list(self.connection, &sql, (column(after), limit), read)
            }
        }
    }

    /// Sequence number of the newest event; 0 before the first.
    pub fn last_event(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) FROM events";
        let last: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(last).expect("sequence numbers start at one"))
    }
}

impl Tx<'_> {
    /// Writes an event with this transaction's instant, actor and cause; answers its sequence number.
    pub fn append(&mut self, subject: Subject, kind: EventKind) -> Result<u64, StoreError> {
        let service = match subject {
            Subject::Service { id } => Some(id.row()),
            Subject::Node => None,
        };
        row::run(
            self.connection,
            "INSERT INTO events (at, actor, service, cause, kind) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                self.at.as_millis(),
                row::to_json("an actor", &self.actor)?,
                service,
                self.cause.map(column),
                row::to_json("an event", &kind)?,
            ),
        )?;
        let seq = self.connection.last_insert_rowid();
        self.chain_event(seq)?;
        let oldest = seq - column(EVENTS_MAX);
        row::run(self.connection, "DELETE FROM events WHERE seq <= ?1", [oldest])?;
        Ok(u64::try_from(seq).expect("sequence numbers start at one"))
    }

    /// An event about one service.
    pub(crate) fn tell(&mut self, id: ServiceId, kind: EventKind) -> Result<u64, StoreError> {
        self.append(Subject::Service { id }, kind)
    }
}
