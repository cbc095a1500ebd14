//! The archive of a plan, out of one `git cat-file --batch`: no checkout, so that no attribute applies, no filter runs and no
//! link is ever written to a disk. Tests in `tests/it/contract.rs` and `tests/it/git.rs`.

use std::path::Path;

use bytes::Bytes;
use havre_core::name::ProjectName;
use havre_core::quantity::Span;
use havre_core::source::lfs::POINTER_MAX;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::command::{Git, Unexpected, in_time};
use super::objects::Objects;
use crate::archive::Archive;
use crate::context::{PATH_MAX, PackEntry, PackKind, PackPlan, PackSummary};
use crate::error::{SourceError, show};

/// Longest time one archive may take; whoever reads it may be slow.
const PACK_TIMEOUT: Span = Span::seconds(30 * 60);

/// Where contents come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) git: &'a Git,
    pub(super) repository: &'a ProjectName,
    pub(super) directory: &'a Path,
}

/// Writes the archive to `output`.
pub(super) async fn pack(
    from: Place<'_>,
    plan: &PackPlan,
    output: mpsc::Sender<Bytes>,
    cancel: &CancellationToken,
) -> Result<PackSummary, SourceError> {
    let what = format!("pack files of {}", from.repository);
    let work = async {
        let _place = from.git.verb().await;
        let mut objects = Objects::open(from.git, from.repository, from.directory, &what)?;
        let mut archive = Archive::new(output, plan.modified);
        for entry in &plan.entries {
            write(&mut objects, &mut archive, entry).await?;
        }
        let summary = archive.finish().await?;
        objects.finish().await?;
        Ok(summary)
    };
    // Dropped, it kills git.
    let ended = cancel.run_until_cancelled(in_time(&what, PACK_TIMEOUT, work)).await;
    ended.unwrap_or(Err(SourceError::Cancelled))
}

async fn write(objects: &mut Objects, archive: &mut Archive, entry: &PackEntry) -> Result<(), SourceError> {
    match &entry.kind {
        PackKind::Folder => archive.folder(entry).await,
        PackKind::Bytes(bytes) => archive.file(entry, bytes).await,
        PackKind::Local(file) => archive.local(entry, file).await,
        PackKind::Link { object, size } => {
            check_planned(entry, *size, objects.ask(object).await?)?;
            if *size > PATH_MAX as u64 {
                return Err(SourceError::too_large(
                    format!("the target of the link {}", show(entry.path.as_bytes())),
                    format!("{PATH_MAX} bytes"),
                ));
            }
            let target = objects.all(*size).await?;
            archive.link(entry, &target).await
        }
        PackKind::Object { object, size } => {
            check_planned(entry, *size, objects.ask(object).await?)?;
            if *size < POINTER_MAX {
                let content = objects.all(*size).await?;
                return archive.file(entry, &content).await;
            }
            archive.begin_file(entry, *size).await?;
            let mut left = *size;
            while left > 0 {
                let bytes = objects.next(left).await?;
                left -= bytes.len() as u64;
                archive.content(&bytes).await?;
            }
            objects.end().await?;
            archive.end_file(*size).await
        }
    }
}

/// A plan that was made for another object would damage the archive.
fn check_planned(entry: &PackEntry, planned: u64, found: u64) -> Result<(), SourceError> {
    if planned == found {
        return Ok(());
    }
    let what = format!("pack {}", show(entry.path.as_bytes()));
    Err(SourceError::failed(what, Unexpected(format!("{found} bytes where {planned} were planned"))))
}
