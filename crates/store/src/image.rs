//! What rows say of images this installation has built: which releases need them, and whose image is gone. Tests:
//! `tests/it/image.rs`.

use std::collections::BTreeSet;

use havre_core::artifact::{Artifact, Digest};
use havre_core::event::EventKind;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::image::event::Event;
use havre_decide::image::retention::{ReleaseRow, ServiceRows};

use crate::error::StoreError;
use crate::row;
use crate::view::{Tx, View};

impl View<'_> {
    /// Everything that says which images are needed.
    pub fn image_rows(&self) -> Result<Vec<ServiceRows>, StoreError> {
        let tasks = self.list_all_tasks()?;
        let runs = self.list_open_job_runs()?;
        let mut services = Vec::new();
        for service in self.list_services()? {
            let removed = self.removed_releases(service.id)?;
            let succeeded = self.succeeded_releases(service.id)?;
            let mut wanted: BTreeSet<ReleaseId> =
                tasks.iter().filter(|task| task.service == service.id).map(|task| task.release).collect();
            wanted.extend(runs.iter().filter(|run| run.service == service.id).map(|run| run.release));
            for open in self.open_deployments(service.id)? {
                wanted.insert(open.release);
                wanted.extend(open.previous);
            }
            let releases = self.list_releases(service.id, u32::MAX)?;
            let releases = releases.into_iter().filter_map(|release| match release.artifact {
                Artifact::Image { id: image, .. } => Some(ReleaseRow {
                    id: release.id,
                    image,
                    has_succeeded: succeeded.contains(&release.id),
                    is_removed: removed.contains(&release.id),
                }),
                Artifact::Site { .. } => None,
            });
            services.push(ServiceRows { live: service.live, wanted, releases: releases.collect() });
        }
        Ok(services)
    }

    fn succeeded_releases(&self, service: ServiceId) -> Result<BTreeSet<ReleaseId>, StoreError> {
        let sql = "SELECT DISTINCT release FROM deployments \
            WHERE service = ?1 AND json_extract(state, '$.state') = 'succeeded'";
        let rows =
            row::list(self.connection, sql, [service.row()], |row| Ok(ReleaseId::new(row.get("release")?)))?;
        Ok(rows.into_iter().collect())
    }
}

impl Tx<'_> {
    /// Records that the image of these releases is given up, before it is removed: from now on nobody goes back to them.
    pub fn record_image_removed(&mut self, image: Digest, releases: &[ReleaseId]) -> Result<(), StoreError> {
        let Some(first) = releases.first() else { return Ok(()) };
        let service = self.get_release(*first)?.service;
        for release in releases {
            self.mark_removed(*release)?;
        }
        self.tell(service, EventKind::Image(Event::Removed { image, releases: releases.to_vec() }))?;
        Ok(())
    }
}
