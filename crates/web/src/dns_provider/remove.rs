//! `DELETE /v1/dns-providers/{zone}`. Tests: `tests/it/issuer.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::ZonePath;
use crate::state::AppState;

/// Forget the DNS provider of a zone. Wildcards it made possible are served on and not renewed.
#[utoipa::path(delete, path = "/v1/dns-providers/{zone}", tag = "certificate", operation_id = "remove_dns_provider",
    params(("zone" = String, Path, example = "example.org")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`provider_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ZonePath(zone): ZonePath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.remove_dns_provider(&zone)).await?;
    Ok(StatusCode::NO_CONTENT)
}
