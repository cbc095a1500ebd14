//! `DELETE /v1/issuers/{issuer}`: with our accounts there. Tests: `tests/it/issuer.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::IssuerPath;
use crate::state::AppState;

/// Remove an issuer and our accounts at it. Certificates it signed are served on.
#[utoipa::path(delete, path = "/v1/issuers/{issuer}", tag = "certificate", operation_id = "remove_issuer",
    params(("issuer" = String, Path, example = "letsencrypt")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`issuer_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    IssuerPath(name): IssuerPath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.remove_issuer(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
