//! `POST /v1/swaps/{swap}/cancel`: the loop makes everything as it was. Tests: `tests/it/swap.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::swap::Swap;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::SwapPath;
use crate::state::AppState;
use crate::swap::wire;
use crate::transaction;

/// Cancel a swap or an upgrade whose names are not exchanged yet; everything becomes as it was.
#[utoipa::path(post, path = "/v1/swaps/{swap}/cancel", tag = "database", operation_id = "cancel_swap",
    params(("swap" = String, Path, example = "w4")),
    responses(
        (status = 202, body = Swap),
        (status = 404, body = ErrorBody, description = "`swap_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Caller(actor): Caller,
    SwapPath(id): SwapPath,
) -> Result<(StatusCode, Json<Swap>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let row = tx.get_swap(id)?;
        if !row.state.may_be_cancelled() {
            let message = format!("{id} cannot be cancelled any more: it is {}", row.state.name());
            return Err(Refusal::new(Code::AlreadyOver, message).hint(format!(
                "once it has ended, swap back: `havre db swap {} {}`",
                row.names.name, row.names.aside
            )));
        }
        tx.request_swap_cancel(id)?;
        let row = tx.get_swap(id)?;
        wire(tx, row)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
