//! `PUT /v1/projects/{project}/build-secrets/{secret}`. Tests: `tests/it/build_secret.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::build::{BuildSecret, SetBuildSecretRequest};
use havre_api::error::ErrorBody;
use havre_core::secret::Secret;

use crate::access::gate::Caller;
use crate::build::secret::wire;
use crate::error::{Code, Refusal};
use crate::extract::{BuildSecretPath, Input};
use crate::state::AppState;

/// Shortest value. A shorter one stands in every log by chance, so that it could not be taken out of it.
const VALUE_MIN: usize = 8;
/// Longest value. Enough for a file such as `.npmrc` or a key.
const VALUE_MAX: usize = 64 * 1024;

/// Set the value of a secret of builds. Builds that run go on with the one before.
#[utoipa::path(put, path = "/v1/projects/{project}/build-secrets/{secret}", tag = "build", operation_id = "set_build_secret",
    params(("project" = String, Path, example = "dropit"), ("secret" = String, Path, example = "NPM_TOKEN")),
    request_body = SetBuildSecretRequest,
    responses(
        (status = 200, body = BuildSecret),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`build_secret_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    BuildSecretPath { project, name }: BuildSecretPath,
    Input(request): Input<SetBuildSecretRequest>,
) -> Result<Json<BuildSecret>, Refusal> {
    let value = check_value(request.value)?;
    let set = state.store.write(state.now(), actor, move |tx| tx.set_build_secret(&project, &name, &value));
    Ok(Json(wire(set.await?)))
}

/// Never says the value.
fn check_value(value: String) -> Result<Secret, Refusal> {
    if value.trim().len() >= VALUE_MIN && value.len() <= VALUE_MAX && !value.contains('\0') {
        return Ok(Secret::from(value));
    }
    let message = "the value is not 8 to 65536 bytes of text without NUL; spaces around it do not count";
    Err(Refusal::new(Code::BuildSecretInvalid, message)
        .hint("a shorter value could not be taken out of logs; a build argument holds what is no secret"))
}
