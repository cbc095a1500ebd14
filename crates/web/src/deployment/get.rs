//! `GET /v1/deployments/{deployment}`. Tests: `tests/it/deployment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::deployment::Deployment;
use havre_api::error::ErrorBody;

use crate::deployment::wire;
use crate::error::Refusal;
use crate::extract::DeploymentPath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// One deployment.
#[utoipa::path(get, path = "/v1/deployments/{deployment}", tag = "deployment", operation_id = "get_deployment",
    params(("deployment" = String, Path, example = "d12")),
    responses(
        (status = 200, body = Deployment),
        (status = 404, body = ErrorBody, description = "`deployment_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    DeploymentPath(id): DeploymentPath,
) -> Result<Json<Deployment>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let (row, place) = lookup::deployment(view, id)?;
        wire(view, row, place)
    });
    Ok(Json(answer.await?))
}
