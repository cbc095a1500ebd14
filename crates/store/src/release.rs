//! Releases: rows that never change. Tests: `tests/it/release.rs`.

use havre_core::artifact::Artifact;
use havre_core::id::{BuildId, ReleaseId, ServiceId};
use havre_core::release::Release;
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

const SELECT: &str =
    "SELECT id, service, artifact, spec, revision, build, source, created_at FROM releases WHERE";

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
}

impl Tx<'_> {
    /// Records a release. It has no event of its own: the deployment that is asked for with it names it.
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
        self.get_release(ReleaseId::new(self.connection.last_insert_rowid()))
    }
}
