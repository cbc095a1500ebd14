//! `GET /v1/projects/{project}/secrets`: names, versions and users. Tests: `tests/it/secret.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::secret::SecretList;

use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::secret::wire_used;
use crate::state::AppState;

/// List the secrets of a project. Values are never shown.
#[utoipa::path(get, path = "/v1/projects/{project}/secrets", tag = "secret", operation_id = "list_secrets",
    params(("project" = String, Path, example = "dropit")),
    responses((status = 200, body = SecretList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
) -> Result<Json<SecretList>, Refusal> {
    let secrets = state.store.read(move |view| {
        let rows = view.list_secrets(&project)?;
        rows.into_iter().map(|row| wire_used(view, row)).collect::<Result<Vec<_>, _>>()
    });
    Ok(Json(SecretList { secrets: secrets.await? }))
}
