//! `GET .../databases/{database}/snapshot`: the bytes of a snapshot. Their number is said first, and the last of them come only after all were the
//! right ones, so that whoever gets less knows it. Tests: `tests/it/restore.rs`.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use havre_api::error::ErrorBody;
use havre_api::restore::DumpQuery;
use havre_rescue::restore::Point;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::error::Refusal;
use crate::extract::{DatabasePath, Params};
use crate::restore::streams::SnapshotStream;
use crate::restore::{chosen, find_points, wanted};
use crate::state::AppState;
use crate::transaction;

/// SHA-256 of the bytes, in hex.
const SHA256: &str = "havre-sha256";
/// The snapshot they are of.
const SNAPSHOT: &str = "havre-snapshot";
/// Parts on their way.
const PARTS: usize = 4;

/// Give the bytes of a snapshot out: an archive that `pg_restore` reads. An answer that is shorter than it says is none.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/snapshot",
    tag = "restore", operation_id = "get_snapshot",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db"), DumpQuery),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `database_not_found` or `snapshot_not_found`"),
        (status = 429, body = ErrorBody, description = "`too_many_streams`"),
        (status = 503, body = ErrorBody, description = "`unavailable`"),
    ))]
pub(crate) async fn dump(
    State(state): State<AppState>,
    path: DatabasePath,
    Params(query): Params<DumpQuery>,
) -> Result<Response, Refusal> {
    let slot = state.slot()?;
    let point = transaction::read(&state, move |view| {
        let points = find_points(view, &path)?;
        chosen(&points, &wanted(query.snapshot, query.at)?, &path)
    });
    let point = point.await?;
    give(state, slot, point).await
}

/// The bytes of a point, while somebody holds one of the streams there may be.
pub(super) async fn give(
    state: AppState,
    slot: OwnedSemaphorePermit,
    point: Point,
) -> Result<Response, Refusal> {
    let (content, snapshot) = (point.manifest.content, point.manifest.snapshot);
    let stream = state.snapshots.open(point.target, snapshot.clone()).await?;
    let (sender, parts) = mpsc::channel(PARTS);
    let inner = state.clone();
    tokio::spawn(async move {
        pass_on(&inner, stream, &sender).await;
        drop(slot);
    });
    let headers = [
        ("content-type", "application/octet-stream".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("content-length", content.bytes.to_string()),
        (SHA256, content.sha256.hex().to_owned()),
        (SNAPSHOT, snapshot.hex().to_owned()),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(parts))).into_response())
}

/// Passes parts on, each of them once the one behind it, or the good end, is known. Whatever goes wrong ends the answer before its end.
async fn pass_on(state: &AppState, mut stream: SnapshotStream, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut held: Option<Bytes> = None;
    loop {
        let next = tokio::select! {
            () = state.stop.cancelled() => return give_up(sender, "the server is stopping").await,
            () = sender.closed() => return,
            next = stream.next() => next,
        };
        let is_over = next.is_none();
        let next = match next.transpose() {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "a snapshot could not be given out to its end");
                return give_up(sender, "the snapshot could not be read to its end").await;
            }
        };
        if let Some(part) = std::mem::replace(&mut held, next)
            && !matches!(
                tokio::time::timeout(state.limits.slow_client, sender.send(Ok(part))).await,
                Ok(Ok(()))
            )
        {
            return;
        }
        if is_over {
            return;
        }
    }
}

async fn give_up(sender: &mpsc::Sender<io::Result<Bytes>>, why: &'static str) {
    // Where nobody listens any more, nobody needs to know.
    let _ = sender.send(Err(io::Error::other(why))).await;
}
