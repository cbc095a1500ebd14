//! `GET /v1/drills`. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::release::ListQuery;
use havre_api::restore::DrillList;

use crate::error::Refusal;
use crate::extract::Params;
use crate::release::list::limit;
use crate::restore::wire_drill;
use crate::state::AppState;

/// List the drills of every database.
#[utoipa::path(get, path = "/v1/drills", tag = "restore", operation_id = "list_drills", params(ListQuery),
    responses(
        (status = 200, body = DrillList),
        (status = 400, body = ErrorBody, description = "`query_invalid`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Params(query): Params<ListQuery>,
) -> Result<Json<DrillList>, Refusal> {
    let limit = limit(&query)?;
    let rows = state.store.read(move |view| view.list_drills(None, limit)).await?;
    Ok(Json(DrillList { drills: rows.into_iter().map(wire_drill).collect() }))
}
