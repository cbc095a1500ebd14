//! `DELETE /v1/tokens/{token}`: takes a token back; it stops to work with the next request.
//! Tests: `tests/it/access.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::TokenPath;
use crate::state::AppState;

/// Revoke an access token. Only on the server's own machine.
#[utoipa::path(delete, path = "/v1/tokens/{token}", tag = "access", operation_id = "revoke_token",
    params(("token" = String, Path, description = "Name of the token", example = "ci")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`token_not_found`")))]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    Caller(actor): Caller,
    TokenPath(name): TokenPath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.revoke_token(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
