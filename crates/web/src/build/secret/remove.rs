//! `DELETE /v1/projects/{project}/build-secrets/{secret}`. Tests: `tests/it/build_secret.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::BuildSecretPath;
use crate::state::AppState;

/// Forget a secret of builds. Builds that ask for it fail before they start.
#[utoipa::path(delete, path = "/v1/projects/{project}/build-secrets/{secret}", tag = "build",
    operation_id = "remove_build_secret",
    params(("project" = String, Path, example = "dropit"), ("secret" = String, Path, example = "NPM_TOKEN")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`build_secret_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    BuildSecretPath { project, name }: BuildSecretPath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.remove_build_secret(&project, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
