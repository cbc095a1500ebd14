//! `POST /v1/deployments/{deployment}/cancel`: the loop ends it where that is still possible.
//! Tests: `tests/it/deployment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::deployment::Deployment;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::deployment::wire;
use crate::error::{Code, Refusal};
use crate::extract::DeploymentPath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// Cancel a deployment that has not switched yet; one that has switched goes on.
#[utoipa::path(post, path = "/v1/deployments/{deployment}/cancel", tag = "deployment",
    operation_id = "cancel_deployment",
    params(("deployment" = String, Path, example = "d12")),
    responses(
        (status = 202, body = Deployment),
        (status = 404, body = ErrorBody, description = "`deployment_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Caller(actor): Caller,
    DeploymentPath(id): DeploymentPath,
) -> Result<(StatusCode, Json<Deployment>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let (row, place) = lookup::deployment(tx, id)?;
        if row.state.is_final() {
            let message = format!("{id} is over already: it is {}", row.state.name());
            return Err(Refusal::new(Code::AlreadyOver, message)
                .hint("`havre rollback` goes back to an earlier release"));
        }
        tx.request_cancel(id)?;
        let row = tx.get_deployment(id)?;
        wire(tx, row, place)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
