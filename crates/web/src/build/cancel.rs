//! `POST /v1/builds/{build}/cancel`: closes the build's row; its loop stops the work. Tests: `tests/it/build.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::build::Build;
use havre_api::error::ErrorBody;
use havre_core::build;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::build::wire;
use crate::error::{Code, Refusal};
use crate::extract::BuildPath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// Cancel a build that has not ended.
#[utoipa::path(post, path = "/v1/builds/{build}/cancel", tag = "build", operation_id = "cancel_build",
    params(("build" = String, Path, example = "b4")),
    responses(
        (status = 202, body = Build),
        (status = 404, body = ErrorBody, description = "`build_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Caller(actor): Caller,
    BuildPath(id): BuildPath,
) -> Result<(StatusCode, Json<Build>), Refusal> {
    let at = state.now();
    let answer = transaction::write(&state, actor, move |tx| {
        let (row, place) = lookup::build(tx, id)?;
        if row.state.is_final() {
            let message = format!("{id} is over already: it is {}", row.state.name());
            return Err(Refusal::new(Code::AlreadyOver, message));
        }
        tx.set_build_state(id, &row.state, build::State::Cancelled { at })?;
        let row = tx.get_build(id)?;
        wire(tx, row, place)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
