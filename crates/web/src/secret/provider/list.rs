//! `GET /v1/projects/{project}/secret-providers`. Tests: `tests/it/secret_provider.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::secret_provider::SecretProviderList;

use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::secret::provider::wire;
use crate::state::AppState;

/// List the secret providers of a project. Credentials are never shown.
#[utoipa::path(get, path = "/v1/projects/{project}/secret-providers", tag = "secret", operation_id = "list_secret_providers",
    params(("project" = String, Path, example = "dropit")),
    responses((status = 200, body = SecretProviderList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
) -> Result<Json<SecretProviderList>, Refusal> {
    let rows = state.store.read(move |view| view.list_secret_providers(&project)).await?;
    Ok(Json(SecretProviderList { providers: rows.into_iter().map(wire).collect() }))
}
