//! `POST /v1/certificates`: a certificate a person brings, checked before it is used. Tests: `tests/it/certificate.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::{UploadCertificateRequest, UploadCertificateResponse};
use havre_api::error::ErrorBody;
use havre_core::secret::Secret;
use havre_store::Material;
use havre_x509::current::current;
use havre_x509::inspect::inspect;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::certificate::current_wire;
use crate::error::{Code, Refusal};
use crate::extract::Input;
use crate::state::AppState;

/// Bring a certificate of one's own. It takes the place of an earlier one for the same names.
#[utoipa::path(post, path = "/v1/certificates", tag = "certificate", operation_id = "upload_certificate",
    request_body = UploadCertificateRequest,
    responses(
        (status = 201, body = UploadCertificateResponse),
        (status = 200, body = UploadCertificateResponse, description = "A dry run"),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`certificate_invalid`"),
    ))]
pub(crate) async fn upload(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Input(request): Input<UploadCertificateRequest>,
) -> Result<(StatusCode, Json<UploadCertificateResponse>), Refusal> {
    let now = state.now();
    let UploadCertificateRequest { chain, key, dry_run } = request;
    let pem = Secret::from(format!(
        "{}\n{}\n",
        chain.trim_end(),
        Secret::from(key).expose_text().unwrap_or_default()
    ));
    let inspected = inspect(pem.expose(), now).map_err(|error| {
        Refusal::new(Code::CertificateInvalid, format!("the certificate cannot be used: {error}"))
            .hint("nothing was changed")
    })?;
    let current = current(&inspected, None, now);
    let certificate = current_wire(&current);
    let warnings = inspected.warnings;
    if dry_run {
        return Ok((StatusCode::OK, Json(UploadCertificateResponse { id: None, certificate, warnings })));
    }
    let havre_x509::material::Material { chain, key } = inspected.material;
    let material = Material { digest: current.digest.clone(), chain, key };
    let id = state.store.write(now, actor, move |tx| tx.upload_certificate(current, &material)).await?;
    Ok((StatusCode::CREATED, Json(UploadCertificateResponse { id: Some(id), certificate, warnings })))
}
