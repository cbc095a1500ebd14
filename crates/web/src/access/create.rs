//! `POST /v1/tokens`: makes a token and shows it this one time. Tests: `tests/it/access.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::access::{CreateTokenRequest, CreateTokenResponse};
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::access::secret;
use crate::error::Refusal;
use crate::extract::Input;
use crate::state::AppState;

/// Make an access token. Only on the server's own machine.
#[utoipa::path(post, path = "/v1/tokens", tag = "access", operation_id = "create_token",
    request_body = CreateTokenRequest,
    responses(
        (status = 201, body = CreateTokenResponse),
        (status = 403, body = ErrorBody, description = "`machine_only`"),
        (status = 409, body = ErrorBody, description = "`name_taken`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Input(request): Input<CreateTokenRequest>,
) -> Result<(StatusCode, Json<CreateTokenResponse>), Refusal> {
    let token = secret::text((state.entropy)());
    let hash = secret::hash(&token).expect("a token made here is one");
    let name = request.name.clone();
    let id = state.store.write(state.now(), actor, move |tx| tx.create_token(name, hash)).await?.id;
    Ok((StatusCode::CREATED, Json(CreateTokenResponse { id, name: request.name, token })))
}
