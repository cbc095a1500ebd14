//! `GET /v1/copies/{copy}`. Tests: `tests/it/copy.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::copy::Copy;
use havre_api::error::ErrorBody;

use crate::copy::wire;
use crate::error::Refusal;
use crate::extract::CopyPath;
use crate::state::AppState;
use crate::transaction;

/// One copy into a database.
#[utoipa::path(get, path = "/v1/copies/{copy}", tag = "copy", operation_id = "get_copy",
    params(("copy" = String, Path, example = "q3")),
    responses(
        (status = 200, body = Copy),
        (status = 404, body = ErrorBody, description = "`copy_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    CopyPath(id): CopyPath,
) -> Result<Json<Copy>, Refusal> {
    let answer = transaction::read(&state, move |view| wire(view, view.get_copy(id)?));
    Ok(Json(answer.await?))
}
