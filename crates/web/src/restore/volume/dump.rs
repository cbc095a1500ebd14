//! `GET .../volumes/{volume}/snapshot`: the bytes of a snapshot, a tar. Tests: `tests/it/volume.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::restore::DumpQuery;

use super::{chosen, find_points};
use crate::error::Refusal;
use crate::extract::{Params, VolumePath};
use crate::restore::{dump, wanted};
use crate::state::AppState;
use crate::transaction;

/// Give the files of a volume out: a tar. An answer that is shorter than it says is none.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/volumes/{volume}/snapshot",
    tag = "restore", operation_id = "get_volume_snapshot",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ("volume" = String, Path, example = "uploads"), DumpQuery),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `service_not_found` or `snapshot_not_found`"),
        (status = 429, body = ErrorBody, description = "`too_many_streams`"),
        (status = 503, body = ErrorBody, description = "`unavailable`"),
    ))]
pub(crate) async fn dump(
    State(state): State<AppState>,
    path: VolumePath,
    Params(query): Params<DumpQuery>,
) -> Result<Response, Refusal> {
    let slot = state.slot()?;
    let point = transaction::read(&state, move |view| {
        let points = find_points(view, &path)?;
        chosen(&points, &wanted(query.snapshot, query.at)?, &path)
    });
    let point = point.await?;
    dump::give(state, slot, point).await
}
