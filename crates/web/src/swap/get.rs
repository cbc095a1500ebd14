//! `GET /v1/swaps/{swap}`. Tests: `tests/it/swap.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::swap::Swap;

use crate::error::Refusal;
use crate::extract::SwapPath;
use crate::state::AppState;
use crate::swap::wire;
use crate::transaction;

/// One swap or upgrade of a database.
#[utoipa::path(get, path = "/v1/swaps/{swap}", tag = "database", operation_id = "get_swap",
    params(("swap" = String, Path, example = "w4")),
    responses(
        (status = 200, body = Swap),
        (status = 404, body = ErrorBody, description = "`swap_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    SwapPath(id): SwapPath,
) -> Result<Json<Swap>, Refusal> {
    let answer = transaction::read(&state, move |view| wire(view, view.get_swap(id)?));
    Ok(Json(answer.await?))
}
