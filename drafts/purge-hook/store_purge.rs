//! Calls to CDNs that are still to be made: at most one for each site, the newest. Tests: `tests/it/site.rs`.

use havre_core::event::EventKind;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::service::spec::Work;
use havre_core::site::event::Event;
use havre_core::site::purge::next_try;
use havre_core::time::Timestamp;

use crate::error::StoreError;
use crate::row;
use crate::view::{Tx, View};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeRow {
    /// Whose pages.
    pub service: ServiceId,
    /// The release that went live.
    pub release: ReleaseId,
    /// How often it was tried.
    pub tries: u32,
    /// Not before this.
    pub next_at: Timestamp,
}

impl View<'_> {
    /// Every call that is to be made, due or not.
    pub fn list_purges(&self) -> Result<Vec<PurgeRow>, StoreError> {
        let sql = "SELECT service, release, tries, next_at FROM purges ORDER BY service";
        row::list(self.connection, sql, [], |row| {
            Ok(PurgeRow {
                service: ServiceId::new(row.get("service")?),
                release: ReleaseId::new(row.get("release")?),
                tries: row.get("tries")?,
                next_at: row::instant(row, "next_at")?,
            })
        })
    }
}

impl Tx<'_> {
    /// A release went live: its CDN is to be told, where it has one that wants to know.
    pub(crate) fn request_purge(&mut self, release: ReleaseId) -> Result<(), StoreError> {
        let release = self.get_release(release)?;
        let Work::Site(site) = &release.spec.work else { return Ok(()) };
        if site.settings.cdn.as_ref().is_none_or(|cdn| cdn.purge.is_none()) {
            return Ok(());
        }
        row::run(
            self.connection,
            "INSERT INTO purges (service, release, tries, next_at) VALUES (?1, ?2, 0, ?3) ON CONFLICT (service) \
             DO UPDATE SET release = excluded.release, tries = 0, next_at = excluded.next_at",
            (release.service.row(), release.id.row(), self.at.as_millis()),
        )?;
        Ok(())
    }

    /// The call was made, and this is how it ended. Nothing happens when a newer release wants one by now.
    pub fn record_purge(&mut self, purge: &PurgeRow, result: Result<u16, String>) -> Result<(), StoreError> {
        let current = self.list_purges()?.into_iter().find(|row| row.service == purge.service);
        if current.as_ref() != Some(purge) {
            return Ok(());
        }
        let tries = purge.tries + 1;
        let (release, next_at) = (purge.release, next_try(tries, self.at));
        let event = match (result, next_at) {
            (Ok(status), _) => {
                self.forget_purge(purge.service)?;
                Event::Purged { release, status }
            }
            (Err(reason), Some(next_at)) => {
                row::run(
                    self.connection,
                    "UPDATE purges SET tries = ?2, next_at = ?3 WHERE service = ?1",
                    (purge.service.row(), tries, next_at.as_millis()),
                )?;
                Event::PurgeFailed { release, tries, reason, next_at: Some(next_at) }
            }
            (Err(reason), None) => {
                self.forget_purge(purge.service)?;
                Event::PurgeFailed { release, tries, reason, next_at: None }
            }
        };
        self.tell(purge.service, EventKind::Site(event))?;
        Ok(())
    }

    fn forget_purge(&mut self, service: ServiceId) -> Result<(), StoreError> {
        row::run(self.connection, "DELETE FROM purges WHERE service = ?1", [service.row()])?;
        Ok(())
    }
}
