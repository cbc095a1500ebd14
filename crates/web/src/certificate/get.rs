//! `GET /v1/certificates/{certificate}`. Tests: `tests/it/certificate.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::Certificate;
use havre_api::error::ErrorBody;

use crate::certificate::wire;
use crate::error::Refusal;
use crate::extract::CertificatePath;
use crate::state::AppState;
use crate::transaction;

/// One certificate.
#[utoipa::path(get, path = "/v1/certificates/{certificate}", tag = "certificate", operation_id = "get_certificate",
    params(("certificate" = String, Path, example = "c3")),
    responses(
        (status = 200, body = Certificate),
        (status = 404, body = ErrorBody, description = "`certificate_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    CertificatePath(id): CertificatePath,
) -> Result<Json<Certificate>, Refusal> {
    let certificate = transaction::read(&state, move |view| wire(view, view.get_certificate(id)?));
    Ok(Json(certificate.await?))
}
