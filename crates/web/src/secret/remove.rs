//! `DELETE /v1/projects/{project}/secrets/{name}`. Tests: `tests/it/secret.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::secret::RemoveSecretQuery;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{Params, SecretPath};
use crate::state::AppState;

/// Forget a secret with its versions. Releases that start with one of them cannot be gone back to any more.
#[utoipa::path(delete, path = "/v1/projects/{project}/secrets/{name}", tag = "secret",
    operation_id = "remove_secret",
    params(("project" = String, Path, example = "dropit"), ("name" = String, Path, example = "JWT_SECRET"),
        RemoveSecretQuery),
    responses(
        (status = 204),
        (status = 404, body = ErrorBody, description = "`secret_not_found`"),
        (status = 409, body = ErrorBody, description = "`secret_in_use`"),
    ))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    SecretPath { project, name }: SecretPath,
    Params(query): Params<RemoveSecretQuery>,
) -> Result<StatusCode, Refusal> {
    let removed = state.store.write(state.now(), actor, move |tx| {
        tx.remove_secret(&project, query.environment.as_ref(), &name, query.force)
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}
