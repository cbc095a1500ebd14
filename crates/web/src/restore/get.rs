//! `GET /v1/restores/{restore}`. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::Restore;

use crate::error::Refusal;
use crate::extract::RestorePath;
use crate::restore::wire_restore;
use crate::state::AppState;

/// One restore.
#[utoipa::path(get, path = "/v1/restores/{restore}", tag = "restore", operation_id = "get_restore",
    params(("restore" = String, Path, example = "v3")),
    responses(
        (status = 200, body = Restore),
        (status = 404, body = ErrorBody, description = "`restore_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    RestorePath(id): RestorePath,
) -> Result<Json<Restore>, Refusal> {
    Ok(Json(wire_restore(state.store.read(move |view| view.get_restore(id)).await?)))
}
