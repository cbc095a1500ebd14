//! `GET /v1/certificates`: all of them, with what each waits for. Tests: `tests/it/certificate.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::CertificateList;

use crate::certificate::wire;
use crate::error::Refusal;
use crate::state::AppState;
use crate::transaction;

/// List certificates.
#[utoipa::path(get, path = "/v1/certificates", tag = "certificate", operation_id = "list_certificates",
    responses((status = 200, body = CertificateList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<CertificateList>, Refusal> {
    let certificates = transaction::read(&state, |view| {
        let mut rows = view.list_certificates()?;
        rows.sort_by(|a, b| (&a.names, a.id).cmp(&(&b.names, b.id)));
        rows.into_iter().map(|row| wire(view, row)).collect::<Result<_, _>>()
    });
    Ok(Json(CertificateList { certificates: certificates.await? }))
}
