//! `GET /v1/volume-restores/{volume_restore}`. Tests: `tests/it/volume.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::volume::VolumeRestore;

use super::wire;
use crate::error::Refusal;
use crate::extract::VolumeRestorePath;
use crate::state::AppState;

/// One restore of a volume.
#[utoipa::path(get, path = "/v1/volume-restores/{volume_restore}", tag = "restore", operation_id = "get_volume_restore",
    params(("volume_restore" = String, Path, example = "f3")),
    responses(
        (status = 200, body = VolumeRestore),
        (status = 404, body = ErrorBody, description = "`restore_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    VolumeRestorePath(id): VolumeRestorePath,
) -> Result<Json<VolumeRestore>, Refusal> {
    Ok(Json(wire(state.store.read(move |view| view.get_volume_restore(id)).await?)))
}
