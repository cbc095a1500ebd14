//! `GET .../volumes/{volume}/restores`. Tests: `tests/it/volume.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::release::ListQuery;
use havre_api::volume::VolumeRestoreList;

use super::wire;
use crate::error::Refusal;
use crate::extract::{Params, VolumePath};
use crate::release::list::limit;
use crate::state::AppState;

/// List the restores of a volume, also of one that is gone.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/volumes/{volume}/restores",
    tag = "restore", operation_id = "list_volume_restores",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ("volume" = String, Path, example = "uploads"), ListQuery),
    responses(
        (status = 200, body = VolumeRestoreList),
        (status = 400, body = ErrorBody, description = "`query_invalid`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    path: VolumePath,
    Params(query): Params<ListQuery>,
) -> Result<Json<VolumeRestoreList>, Refusal> {
    let limit = limit(&query)?;
    let rows =
        state.store.read(move |view| view.list_volume_restores(&path.place, &path.volume, limit)).await?;
    Ok(Json(VolumeRestoreList { restores: rows.into_iter().map(wire).collect() }))
}
