//! Calls to CDNs that are still to be made: at most one for each site, of its newest switch. When one is due is decided in
//! `havre_core::site::purge`. Tests: `tests/it/purge.rs`.

use havre_core::event::EventKind;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::service::spec::Work;
use havre_core::site::event::Event;
use havre_core::site::purge::next_try;
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row;
use crate::view::{Tx, View};

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeRow {
    /// Whose pages are to be forgotten.
    pub service: ServiceId,
    /// The release of whose switch the CDN is told, and whose settings say how.
    pub release: ReleaseId,
    /// How often it was tried.
    pub tries: u32,
    /// Not before this.
    pub next_at: Timestamp,
}

impl View<'_> {
    /// Every call that is to be made, due or not; the one that waits longest first.
    pub fn list_purges(&self) -> Result<Vec<PurgeRow>, StoreError> {
        let sql = "SELECT service, release, tries, next_at FROM purges ORDER BY next_at, service";
        row::list(self.connection, sql, [], read)
    }

    /// The call that is to be made for a service, if there is one.
    fn find_purge(&self, service: ServiceId) -> Result<Option<PurgeRow>, StoreError> {
        let sql = "SELECT service, release, tries, next_at FROM purges WHERE service = ?1";
        row::find(self.connection, sql, [service.row()], read)
    }
}

fn read(row: &Row<'_>) -> Result<PurgeRow, StoreError> {
    Ok(PurgeRow {
        service: ServiceId::new(row.get("service")?),
        release: ReleaseId::new(row.get("release")?),
        tries: row.get("tries")?,
        next_at: row::instant(row, "next_at")?,
    })
}

impl Tx<'_> {
    /// Users get another release from now on: its CDN is to be told, in place of what it was to be told before. Nothing
    /// happens for a service that is no site; a site that wants no call any more gets none.
    pub(crate) fn request_purge(&mut self, release: ReleaseId) -> Result<(), StoreError> {
        let release = self.get_release(release)?;
        let Work::Site(site) = &release.spec.work else { return Ok(()) };
        if site.settings.cdn.as_ref().is_none_or(|cdn| cdn.purge.is_none()) {
            return self.forget_purge(release.service);
        }
        row::run(
            self.connection,
            "INSERT INTO purges (service, release, tries, next_at) VALUES (?1, ?2, 0, ?3) ON CONFLICT (service) \
             DO UPDATE SET release = excluded.release, tries = 0, next_at = excluded.next_at",
            (release.service.row(), release.id.row(), self.at.as_millis()),
        )?;
        Ok(())
    }

    /// The call of this row was made, and this is how it ended: the status of a success, or why it failed. Nothing happens when
    /// the row is another one by now, because a newer switch wants a call of its own.
    pub fn record_purge(&mut self, purge: PurgeRow, result: Result<u16, String>) -> Result<(), StoreError> {
        if self.find_purge(purge.service)? != Some(purge) {
            return Ok(());
        }
        let PurgeRow { service, release, tries, .. } = purge;
        let tries = tries.saturating_add(1);
        let event = match result {
            Ok(status) => {
                self.forget_purge(service)?;
                Event::Purged { release, status }
            }
            Err(reason) => {
                let next_at = next_try(tries, self.at);
                match next_at {
                    Some(next_at) => self.postpone_purge(service, tries, next_at)?,
                    None => self.forget_purge(service)?,
                }
                Event::PurgeFailed { release, tries, reason, next_at }
            }
        };
        self.tell(service, EventKind::Site(event))?;
        Ok(())
    }

    fn postpone_purge(
        &mut self,
        service: ServiceId,
        tries: u32,
        next_at: Timestamp,
    ) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "UPDATE purges SET tries = ?2, next_at = ?3 WHERE service = ?1",
            (service.row(), tries, next_at.as_millis()),
        )?;
        Ok(())
    }

    fn forget_purge(&mut self, service: ServiceId) -> Result<(), StoreError> {
        row::run(self.connection, "DELETE FROM purges WHERE service = ?1", [service.row()])?;
        Ok(())
    }
}
