//! `DELETE /v1/projects/{project}/remote`. Tests: `tests/it/remote.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::state::AppState;

/// Forget where the repository of a project is fetched from, with the token. What was fetched stays.
#[utoipa::path(delete, path = "/v1/projects/{project}/remote", tag = "pipeline", operation_id = "remove_remote",
    params(("project" = String, Path, example = "dropit")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`remote_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ProjectPath(project): ProjectPath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.remove_remote(&project)).await?;
    Ok(StatusCode::NO_CONTENT)
}
