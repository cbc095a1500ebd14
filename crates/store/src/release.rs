//! Releases: rows that never change. Tests: `tests/it/release.rs`.

use havre_core::artifact::Artifact;
use havre_core::event::EventKind;
use havre_core::id::{BuildId, ReleaseId, ServiceId};
use havre_core::quantity::ByteSize;
use havre_core::release::Release;
use havre_core::release::event::{Event, Measure};
use havre_core::release::promotion::PromotedFrom;
use havre_core::service::spec::ServiceSpec;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::view::{Tx, View};

/// A release to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelease {
    /// Whose release it is.
    pub service: ServiceId,
    /// What runs.
    pub artifact: Artifact,
    /// How it runs.
    pub spec: ServiceSpec,
    /// The service's revision `spec` is from.
    pub revision: u64,
    /// The build that made the artifact, if one did.
    pub build: Option<BuildId>,
    /// Commit the client named, empty when unknown.
    pub commit: String,
}

const SELECT: &str = "SELECT id, service, artifact, spec, revision, build, source, promoted_from, size_bytes, created_at \
    FROM releases WHERE";

fn read(row: &Row<'_>) -> Result<Release, StoreError> {
    let origin = Origin::of("releases", row)?;
    Ok(Release {
        id: ReleaseId::new(origin.id),
        service: ServiceId::new(row.get("service")?),
        artifact: origin.json(row, "artifact")?,
        spec: origin.json(row, "spec")?,
        revision: origin.count(row, "revision")?,
        build: row.get::<_, Option<i64>>("build")?.map(BuildId::new),
        commit: row.get("source")?,
        promoted_from: match row.get::<_, Option<String>>("promoted_from")? {
            Some(_) => Some(origin.json(row, "promoted_from")?),
            None => None,
        },
        size: match row.get::<_, Option<i64>>("size_bytes")? {
            Some(_) => Some(ByteSize::bytes(origin.count(row, "size_bytes")?)),
            None => None,
        },
        created_at: row::instant(row, "created_at")?,
    })
}

impl View<'_> {
    /// One release.
    pub fn get_release(&self, id: ReleaseId) -> Result<Release, StoreError> {
        row::find(self.connection, &format!("{SELECT} id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("release", id))
    }

    /// At most `limit` releases of a service, newest first.
    pub fn list_releases(&self, service: ServiceId, limit: u32) -> Result<Vec<Release>, StoreError> {
        let sql = format!("{SELECT} service = ?1 ORDER BY id DESC LIMIT ?2");
        row::list(self.connection, &sql, (service.row(), limit), read)
    }

    /// The release that the newest deployment of a service which succeeded has made live. After a rollback that is an earlier
    /// one than the newest.
    pub fn find_succeeded_release(&self, service: ServiceId) -> Result<Option<Release>, StoreError> {
        let sql = "SELECT release FROM deployments \
            WHERE service = ?1 AND json_extract(state, '$.state') = 'succeeded' ORDER BY id DESC LIMIT 1";
        let found =
            row::find(self.connection, sql, [service.row()], |row| Ok(ReleaseId::new(row.get("release")?)))?;
        found.map(|id| self.get_release(id)).transpose()
    }

    /// The newest release of a service before this one whose size is known.
    pub fn find_measured_before(
        &self,
        service: ServiceId,
        release: ReleaseId,
    ) -> Result<Option<Measure>, StoreError> {
        let sql =
            format!("{SELECT} service = ?1 AND id < ?2 AND size_bytes IS NOT NULL ORDER BY id DESC LIMIT 1");
        let found = row::find(self.connection, &sql, (service.row(), release.row()), read)?;
        Ok(found.and_then(|found| Some(Measure { release: found.id, bytes: found.size?.as_bytes() })))
    }
}

impl Tx<'_> {
    /// Records a release, with the newest versions of the secrets it names. That has no event of its own: the deployment that is asked for with it names it.
    pub fn create_release(&mut self, new: NewRelease) -> Result<Release, StoreError> {
        self.get_service(new.service)?;
        row::run(
            self.connection,
            "INSERT INTO releases (service, artifact, spec, revision, build, source, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                new.service.row(),
                row::to_json("an artifact", &new.artifact)?,
                row::to_json("a specification", &new.spec)?,
                column(new.revision),
                new.build.map(BuildId::row),
                &new.commit,
                self.at.as_millis(),
            ),
        )?;
        let release = self.get_release(ReleaseId::new(self.connection.last_insert_rowid()))?;
        self.record_release_secrets(&release)?;
        Ok(release)
    }

    /// Records a release of what another environment runs: the artifact and the commit are those of the release `from` names,
    /// the specification is the service's own.
    pub fn create_promotion(&mut self, new: NewRelease, from: PromotedFrom) -> Result<Release, StoreError> {
        let release = self.create_release(new)?;
        let origin = row::to_json("where a release was promoted from", &from)?;
        let sql = "UPDATE releases SET promoted_from = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (release.id.row(), origin))?;
        let event = Event::Promoted { release: release.id, from };
        self.tell(release.service, EventKind::Release(event))?;
        self.get_release(release.id)
    }

    /// Records how much room the artifact of a release takes; nothing happens when that is known.
    pub fn record_size(&mut self, id: ReleaseId, size: ByteSize) -> Result<(), StoreError> {
        let release = self.get_release(id)?;
        if release.size.is_some() {
            return Ok(());
        }
        let bytes = size.as_bytes();
        let sql = "UPDATE releases SET size_bytes = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), column(bytes)))?;
        let before = self.find_measured_before(release.service, id)?;
        let event = Event::Measured { release: id, bytes, before };
        self.tell(release.service, EventKind::Release(event))?;
        Ok(())
    }
}
