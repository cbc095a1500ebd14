//! `PUT /v1/projects/{project}/repository/protection`: whether a branch may be removed and rewritten. It counts from the next push on.
//! Tests: `tests/it/repository.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::repository::{ProtectRequest, ProtectResponse};

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{Input, ProjectPath};
use crate::state::AppState;

/// Protect a branch, so that a push can neither remove nor rewrite it; or no longer.
#[utoipa::path(put, path = "/v1/projects/{project}/repository/protection", tag = "pipeline",
    operation_id = "protect_branch",
    params(("project" = String, Path, example = "dropit")),
    request_body = ProtectRequest,
    responses((status = 200, body = ProtectResponse)))]
pub(crate) async fn protect(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ProjectPath(project): ProjectPath,
    Input(request): Input<ProtectRequest>,
) -> Result<Json<ProtectResponse>, Refusal> {
    let ProtectRequest { branch, on } = request;
    let name = branch.clone();
    let was_on =
        state.store.write(state.now(), actor, move |tx| tx.set_protected(&project, &name, on)).await?;
    Ok(Json(ProtectResponse { branch, was_on, on }))
}
