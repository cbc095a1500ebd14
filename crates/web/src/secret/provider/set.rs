//! `PUT /v1/projects/{project}/secret-providers/{name}`: who keeps values, and what proves to it who asks. It is not asked here: see `test`.
//! Tests: `tests/it/secret_provider.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::secret_provider::{SecretProvider, SetSecretProviderRequest};
use havre_decide::secret::provider::{OpenProvider, PROVIDERS_MAX};

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, SecretProviderPath};
use crate::secret::provider::wire;
use crate::state::AppState;
use crate::transaction;

/// Set a secret provider of a project, or of one environment of it, in place of the one of that name: its credential is given again each time.
#[utoipa::path(put, path = "/v1/projects/{project}/secret-providers/{name}", tag = "secret",
    operation_id = "set_secret_provider",
    params(("project" = String, Path, example = "dropit"), ("name" = String, Path, example = "vault-main")),
    request_body = SetSecretProviderRequest,
    responses(
        (status = 200, body = SecretProvider),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`secret_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    SecretProviderPath { project, name }: SecretProviderPath,
    Input(request): Input<SetSecretProviderRequest>,
) -> Result<Json<SecretProvider>, Refusal> {
    let SetSecretProviderRequest { environment, settings: spec, credential } = request;
    let credential = spec.parse_credential(credential);
    let credential = credential.map_err(|error| Refusal::new(Code::SecretInvalid, error.to_string()))?;
    let provider = OpenProvider { project, name, spec, credential };
    let answer = transaction::write(&state, actor, move |tx| {
        let known = tx.list_secret_providers(&provider.project)?;
        let is_known = known.iter().any(|row| row.name == provider.name && row.environment == environment);
        if !is_known && known.len() >= PROVIDERS_MAX {
            let message =
                format!("{} has {PROVIDERS_MAX} secret providers, and more are not kept", provider.project);
            return Err(Refusal::new(Code::SecretInvalid, message).hint("remove one"));
        }
        Ok(wire(tx.set_secret_provider(environment.as_ref(), &provider)?))
    });
    Ok(Json(answer.await?))
}
