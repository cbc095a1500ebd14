//! `POST /v1/projects/{project}/previews/{number}/close`: takes a preview down before its time. Tests: `tests/it/preview.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::preview::Preview;
use havre_core::preview::{self, CloseReason};
use havre_decide::preview::plan;
use havre_store::StoreError;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::PreviewPath;
use crate::preview::wire;
use crate::state::AppState;
use crate::transaction;

/// Close the preview of a pull request. The next push to it opens it again.
#[utoipa::path(post, path = "/v1/projects/{project}/previews/{number}/close", tag = "pipeline",
    operation_id = "close_preview",
    params(("project" = String, Path, example = "dropit"), ("number" = u32, Path, example = 7)),
    responses(
        (status = 202, body = Preview),
        (status = 404, body = ErrorBody, description = "`preview_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn close(
    State(state): State<AppState>,
    Caller(actor): Caller,
    PreviewPath { project, number }: PreviewPath,
) -> Result<(StatusCode, Json<Preview>), Refusal> {
    let by = actor.clone();
    let closed = transaction::write(&state, actor, move |tx| {
        tx.forget_preview_wish(&project, number)?;
        let missing = || StoreError::NotFound { kind: "preview", id: format!("of pull request {number}") };
        let found = tx.find_preview(&project, number)?.ok_or_else(missing)?;
        let Ok(row) = plan::close(number, Some(&found)) else {
            let message = format!("the preview of pull request {number} is {} already", found.state.name());
            return Err(Refusal::new(Code::AlreadyOver, message));
        };
        let (since, reason) = (tx.at(), CloseReason::Asked { by });
        tx.set_preview_state(row, preview::State::Closing { since, reason })?;
        let row = tx.find_preview(&project, number)?.ok_or_else(missing)?;
        Ok(wire(tx, row)?)
    });
    Ok((StatusCode::ACCEPTED, Json(closed.await?)))
}
