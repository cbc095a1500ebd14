//! `DELETE /v1/certificates/{certificate}`: with its key. Tests: `tests/it/certificate.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::CertificatePath;
use crate::state::AppState;

/// Remove a certificate and its key. One that services want is ordered again from the beginning.
#[utoipa::path(delete, path = "/v1/certificates/{certificate}", tag = "certificate", operation_id = "remove_certificate",
    params(("certificate" = String, Path, example = "c3")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`certificate_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    CertificatePath(id): CertificatePath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.remove_certificate(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
