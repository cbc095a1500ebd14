//! `GET /v1/drills/{drill}`. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::Drill;

use crate::error::Refusal;
use crate::extract::DrillPath;
use crate::restore::wire_drill;
use crate::state::AppState;

/// One drill.
#[utoipa::path(get, path = "/v1/drills/{drill}", tag = "restore", operation_id = "get_drill",
    params(("drill" = String, Path, example = "x7")),
    responses(
        (status = 200, body = Drill),
        (status = 404, body = ErrorBody, description = "`drill_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    DrillPath(id): DrillPath,
) -> Result<Json<Drill>, Refusal> {
    Ok(Json(wire_drill(state.store.read(move |view| view.get_drill(id)).await?)))
}
