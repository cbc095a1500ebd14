//! `GET /v1/projects/{project}/remote`. Tests: `tests/it/remote.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::remote::Remote;

use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::remote::{find, wire};
use crate::state::AppState;
use crate::transaction;

/// Where the repository of a project is fetched from, and what its forge was told; without the tokens.
#[utoipa::path(get, path = "/v1/projects/{project}/remote", tag = "pipeline", operation_id = "get_remote",
    params(("project" = String, Path, example = "dropit")),
    responses(
        (status = 200, body = Remote),
        (status = 404, body = ErrorBody, description = "`remote_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
) -> Result<Json<Remote>, Refusal> {
    let found = transaction::read(&state, move |view| Ok(wire(view, find(view, &project)?)?));
    Ok(Json(found.await?))
}
