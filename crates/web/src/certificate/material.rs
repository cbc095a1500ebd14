//! `GET /v1/edge/certificates/{digest}`: chain and key, for edges and on their socket only. Tests: `tests/it/certificate.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::error::{Code, Refusal};
use crate::extract::DigestPath;
use crate::state::AppState;

/// Chain in PEM, then the key in PKCS#8; the SHA-256 of the answer is the digest that was asked for.
#[utoipa::path(get, path = "/v1/edge/certificates/{digest}", tag = "edge", operation_id = "get_material",
    params(("digest" = String, Path)),
    responses(
        (status = 200, content_type = "application/x-pem-file", body = String),
        (status = 404, body = ErrorBody, description = "`certificate_not_found`"),
    ))]
pub(crate) async fn material(
    State(state): State<AppState>,
    DigestPath(digest): DigestPath,
) -> Result<([(http::HeaderName, &'static str); 2], Vec<u8>), Refusal> {
    let found = state.store.read(move |view| view.find_material(&digest)).await?;
    let found = found.ok_or_else(|| Refusal::new(Code::CertificateNotFound, "there is no such material"))?;
    let pem = havre_x509::material::Material { chain: found.chain, key: found.key }.to_pem();
    let headers = [(CONTENT_TYPE, "application/x-pem-file"), (CACHE_CONTROL, "no-store")];
    Ok((headers, pem.expose().to_vec()))
}
