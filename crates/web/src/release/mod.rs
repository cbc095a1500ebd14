//! Releases: listed here, made by builds, gone back to by deployments.

pub mod list;

use havre_core::quantity::ByteSize;
use havre_core::release::Release;
use havre_core::service::Service;

/// What rows beside its own say of a release.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// A deployment of it has succeeded.
    pub(crate) has_succeeded: bool,
    /// The files of this site, or the image that was built here, were removed.
    pub(crate) files_removed: bool,
    /// Bytes of the release before it whose size is known.
    pub(crate) bytes_before: Option<u64>,
}

/// The wire form; `service` is whose live pointer counts.
pub(crate) fn wire(row: Release, service: &Service, standing: Standing) -> havre_api::release::Release {
    let bytes = row.size.map(ByteSize::as_bytes);
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
        promoted_from: row.promoted_from,
        size_bytes: bytes,
        size_change_bytes: bytes.zip(standing.bytes_before).map(|(now, before)| change(before, now)),
        created_at: row.created_at,
    }
}

/// What was added, negative for what was taken away; sizes of disks are far below the bound.
fn change(before: u64, now: u64) -> i64 {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    signed(now) - signed(before)
}
