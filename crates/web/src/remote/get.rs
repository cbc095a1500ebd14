//! `GET /v1/projects/{project}/remote`. Tests: `tests/it/remote.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::remote::Remote;

use crate::error::{Code, Refusal};
use crate::extract::ProjectPath;
use crate::remote::wire;
use crate::state::AppState;

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
    let name = project.clone();
    let read = state.store.read(move |view| view.find_remote(&name)?.map(|row| wire(view, row)).transpose());
    let found = read.await?;
    let missing = || {
        Refusal::new(Code::RemoteNotFound, format!("the project {project} has no remote repository"))
            .hint("set one with `havre remote set URL`")
    };
    Ok(Json(found.ok_or_else(missing)?))
}
