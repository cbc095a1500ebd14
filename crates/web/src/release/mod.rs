//! Releases: listed here, made by builds, gone back to by deployments.

pub mod list;

use havre_core::release::Release;
use havre_core::service::Service;

/// The wire form; `service` is whose live pointer counts.
pub(crate) fn wire(row: Release, service: &Service, has_succeeded: bool) -> havre_api::release::Release {
    havre_api::release::Release {
        is_live: service.live == Some(row.id),
        has_succeeded,
        id: row.id,
        artifact: row.artifact,
        spec: row.spec,
        revision: row.revision,
        build: row.build,
        commit: row.commit,
        created_at: row.created_at,
    }
}
