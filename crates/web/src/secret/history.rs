//! `GET /v1/projects/{project}/secrets/{name}`: its versions. Tests: `tests/it/secret.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::secret::SecretHistory;
use havre_store::StoreError;

use crate::error::Refusal;
use crate::extract::SecretPath;
use crate::secret::wire;
use crate::state::AppState;

/// List the versions of a secret that are kept. Values are never shown.
#[utoipa::path(get, path = "/v1/projects/{project}/secrets/{name}", tag = "secret",
    operation_id = "get_secret_history",
    params(("project" = String, Path, example = "dropit"), ("name" = String, Path, example = "JWT_SECRET")),
    responses(
        (status = 200, body = SecretHistory),
        (status = 404, body = ErrorBody, description = "`secret_not_found`"),
    ))]
pub(crate) async fn history(
    State(state): State<AppState>,
    SecretPath { project, name }: SecretPath,
) -> Result<Json<SecretHistory>, Refusal> {
    let missing = StoreError::NotFound { kind: "secret", id: format!("{project}/{name}") };
    let rows = state.store.read(move |view| view.list_secret_versions(&project, &name)).await?;
    if rows.is_empty() {
        return Err(missing.into());
    }
    Ok(Json(SecretHistory { versions: rows.into_iter().map(wire).collect() }))
}
