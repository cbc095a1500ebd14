//! What rows say of the releases of sites: when one stopped being live, and whose files are gone. Tests:
//! `tests/it/site.rs`.

use std::collections::BTreeSet;

use havre_core::artifact::{Artifact, Digest};
use havre_core::event::EventKind;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::service::spec::Work;
use havre_core::site::event::Event;
use havre_core::time::Timestamp;
use havre_decide::site::retention::{ReleaseRow, SiteRows};

use crate::error::StoreError;
use crate::row;
use crate::view::{Tx, View};

impl View<'_> {
    /// Releases of a site that stopped being live and are not forgotten yet, and when they did.
    pub fn left_releases(&self, service: ServiceId) -> Result<Vec<(ReleaseId, Timestamp)>, StoreError> {
        let sql = "SELECT release, left_at FROM site_releases JOIN releases ON releases.id = release \
            WHERE service = ?1 AND left_at IS NOT NULL ORDER BY release";
        row::list(self.connection, sql, [service.row()], |row| {
            Ok((ReleaseId::new(row.get("release")?), row::instant(row, "left_at")?))
        })
    }

    /// Releases whose files or image were removed.
    pub fn removed_releases(&self, service: ServiceId) -> Result<BTreeSet<ReleaseId>, StoreError> {
        let sql = "SELECT release FROM site_releases JOIN releases ON releases.id = release \
            WHERE service = ?1 AND removed_at IS NOT NULL";
        let rows =
            row::list(self.connection, sql, [service.row()], |row| Ok(ReleaseId::new(row.get("release")?)))?;
        Ok(rows.into_iter().collect())
    }

    /// Everything that says which files of sites are needed.
    pub fn site_rows(&self) -> Result<Vec<SiteRows>, StoreError> {
        let mut sites = Vec::new();
        for service in self.list_services()? {
            let spec = match service.live {
                Some(live) => self.get_release(live)?.spec,
                None => service.spec,
            };
            let Work::Site(site) = spec.work else { continue };
            let left = self.left_releases(service.id)?;
            let removed = self.removed_releases(service.id)?;
            let open = self.open_deployments(service.id)?;
            let releases = self.list_releases(service.id, u32::MAX)?;
            sites.push(SiteRows {
                live: service.live,
                wanted: open.iter().flat_map(|one| [Some(one.release), one.previous]).flatten().collect(),
                keep_assets: site.settings.keep_assets,
                releases_kept: site.settings.releases_kept,
                releases: releases
                    .into_iter()
                    .filter_map(|release| match release.artifact {
                        Artifact::Site { digest } => Some(ReleaseRow {
                            id: release.id,
                            digest,
                            left_at: left.iter().find(|(id, _)| *id == release.id).map(|(_, at)| *at),
                            is_removed: removed.contains(&release.id),
                        }),
                        Artifact::Image { .. } => None,
                    })
                    .collect(),
            });
        }
        Ok(sites)
    }
}

impl Tx<'_> {
    /// Remembers when a release of a site stopped being live, and that its CDN is to be told. Where nothing is live any
    /// more, the pages of the last one are to be forgotten all the same.
    pub(crate) fn record_switch(
        &mut self,
        from: Option<ReleaseId>,
        to: Option<ReleaseId>,
    ) -> Result<(), StoreError> {
        if let Some(to) = to {
            self.forget_left(to)?;
        }
        if let Some(release) = to.or(from) {
            self.request_purge(release)?;
        }
        let Some(from) = from.filter(|from| Some(*from) != to) else { return Ok(()) };
        if !matches!(self.get_release(from)?.artifact, Artifact::Site { .. }) {
            return Ok(());
        }
        row::run(
            self.connection,
            "INSERT INTO site_releases (release, left_at) VALUES (?1, ?2) \
             ON CONFLICT (release) DO UPDATE SET left_at = excluded.left_at",
            (from.row(), self.at.as_millis()),
        )?;
        Ok(())
    }

    /// Its time after the switch is over, or it is live again.
    pub fn forget_left(&mut self, release: ReleaseId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM site_releases WHERE release = ?1 AND removed_at IS NULL",
            "UPDATE site_releases SET left_at = NULL WHERE release = ?1 AND left_at IS NOT NULL",
        ] {
            row::run(self.connection, sql, [release.row()])?;
        }
        Ok(())
    }

    /// Records that the files of these releases are given up, before they are removed: from now on nobody goes back to
    /// them.
    pub fn record_files_removed(&mut self, digest: Digest, releases: &[ReleaseId]) -> Result<(), StoreError> {
        let Some(first) = releases.first() else { return Ok(()) };
        let service = self.get_release(*first)?.service;
        for release in releases {
            self.mark_removed(*release)?;
        }
        let releases = releases.to_vec();
        self.tell(service, EventKind::Site(Event::FilesRemoved { digest, releases }))?;
        Ok(())
    }

    /// What this release runs, files or an image, is given up. The table is named after the first who needed it.
    pub(crate) fn mark_removed(&mut self, release: ReleaseId) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "INSERT INTO site_releases (release, removed_at) VALUES (?1, ?2) \
             ON CONFLICT (release) DO UPDATE SET removed_at = excluded.removed_at",
            (release.row(), self.at.as_millis()),
        )?;
        Ok(())
    }
}
