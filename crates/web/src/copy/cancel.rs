//! `POST /v1/copies/{copy}/cancel`: the loop ends its programs and takes the fresh database away. Tests: `tests/it/copy.rs`.

use axum::Json;
use axum::extract::State as AppStateOf;
use havre_api::copy::Copy;
use havre_api::error::ErrorBody;
use havre_core::copy::state::State;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::copy::wire;
use crate::error::{Code, Refusal};
use crate::extract::CopyPath;
use crate::state::AppState;
use crate::transaction;

/// Cancel a copy that has not begun to take its place; everything stays as it was.
#[utoipa::path(post, path = "/v1/copies/{copy}/cancel", tag = "copy", operation_id = "cancel_copy",
    params(("copy" = String, Path, example = "q3")),
    responses(
        (status = 202, body = Copy),
        (status = 404, body = ErrorBody, description = "`copy_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn cancel(
    AppStateOf(state): AppStateOf<AppState>,
    Caller(actor): Caller,
    CopyPath(id): CopyPath,
) -> Result<(StatusCode, Json<Copy>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let row = tx.get_copy(id)?;
        if row.state.is_final() {
            let message = format!("{id} is over already: it is {}", row.state.name());
            return Err(Refusal::new(Code::AlreadyOver, message));
        }
        if matches!(row.state, State::Swapping { .. }) {
            let message = format!("{id} takes its place already: it cannot be cancelled any more");
            return Err(Refusal::new(Code::AlreadyOver, message));
        }
        tx.request_copy_cancel(id)?;
        let row = tx.get_copy(id)?;
        wire(tx, row)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
