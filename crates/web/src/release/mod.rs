//! Releases: listed here, made by builds, gone back to by deployments.

pub mod list;

use havre_core::release::Release;
use havre_core::service::Service;

/// What rows beside its own say of a release.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// A deployment of it has succeeded.
    pub(crate) has_succeeded: bool,
    /// The files of this site, or the image that was built here, were removed.
    pub(crate) files_removed: bool,
}

/// The wire form; `service` is whose live pointer counts.
pub(crate) fn wire(row: Release, service: &Service, standing: Standing) -> havre_api::release::Release {
    havre_api::release::Release {
        is_live: service.live == Some(row.id),
        has_succeeded: standing.has_succeeded,
        files_removed: standing.files_removed,
        id: row.id,
        artifact: row.artifact,
        spec: row.spec,
        revision: row.revision,
        build: row.build,
        commit: row.commit,
        created_at: row.created_at,
    }
}
