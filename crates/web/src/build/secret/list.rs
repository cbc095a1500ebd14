//! `GET /v1/projects/{project}/build-secrets`. Tests: `tests/it/build_secret.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::build::BuildSecretList;

use crate::build::secret::wire;
use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::state::AppState;

/// List the secrets of builds of a project, without their values.
#[utoipa::path(get, path = "/v1/projects/{project}/build-secrets", tag = "build", operation_id = "list_build_secrets",
    params(("project" = String, Path, example = "dropit")),
    responses((status = 200, body = BuildSecretList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
) -> Result<Json<BuildSecretList>, Refusal> {
    let rows = state.store.read(move |view| view.list_build_secrets(&project)).await?;
    Ok(Json(BuildSecretList { secrets: rows.into_iter().map(wire).collect() }))
}
