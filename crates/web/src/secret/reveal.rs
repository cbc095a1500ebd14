//! `POST /v1/projects/{project}/secrets/{name}/reveal`: the only answer of the API with the value of a secret. Who may run
//! commands in tasks could read it there as well, so that is the permission. Tests: `tests/it/secret.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::secret::{RevealSecretRequest, RevealedSecret};

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{Input, SecretPath};
use crate::secret::wire;
use crate::state::AppState;

/// Show the newest value of a secret. That somebody saw it is an event.
#[utoipa::path(post, path = "/v1/projects/{project}/secrets/{name}/reveal", tag = "secret",
    operation_id = "reveal_secret",
    params(("project" = String, Path, example = "dropit"), ("name" = String, Path, example = "JWT_SECRET")),
    request_body = RevealSecretRequest,
    responses(
        (status = 200, body = RevealedSecret),
        (status = 404, body = ErrorBody, description = "`secret_not_found`"),
    ))]
pub(crate) async fn reveal(
    State(state): State<AppState>,
    Caller(actor): Caller,
    SecretPath { project, name }: SecretPath,
    Input(request): Input<RevealSecretRequest>,
) -> Result<Json<RevealedSecret>, Refusal> {
    let revealed = state
        .store
        .write(state.now(), actor, move |tx| tx.reveal_secret(&project, request.environment.as_ref(), &name));
    let (row, value) = revealed.await?;
    let value = String::from_utf8_lossy(value.expose()).into_owned();
    Ok(Json(RevealedSecret { secret: wire(row), value }))
}
