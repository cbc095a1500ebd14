//! `DELETE /v1/projects/{project}/secret-providers/{name}`. Tests: `tests/it/secret_provider.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::secret_provider::RemoveSecretProviderQuery;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{Params, SecretProviderPath};
use crate::state::AppState;

/// Forget a secret provider with its credential. Releases keep the values it gave them; what is deployed from now on gets none of it.
#[utoipa::path(delete, path = "/v1/projects/{project}/secret-providers/{name}", tag = "secret",
    operation_id = "remove_secret_provider",
    params(("project" = String, Path, example = "dropit"), ("name" = String, Path, example = "vault-main"),
        RemoveSecretProviderQuery),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`secret_provider_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    SecretProviderPath { project, name }: SecretProviderPath,
    Params(query): Params<RemoveSecretProviderQuery>,
) -> Result<StatusCode, Refusal> {
    let removed = state.store.write(state.now(), actor, move |tx| {
        tx.remove_secret_provider(&project, query.environment.as_ref(), &name)
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}
