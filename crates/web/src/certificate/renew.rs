//! `POST /v1/certificates/{certificate}/renew`: a new one now. The budget still holds. Tests: `tests/it/certificate.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::Certificate;
use havre_api::error::ErrorBody;
use havre_core::certificate::Source;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::certificate::wire;
use crate::error::{Code, Refusal};
use crate::extract::CertificatePath;
use crate::state::AppState;
use crate::transaction;

/// Order a new certificate now, whenever the present one ends; a pause after failures is over with it.
#[utoipa::path(post, path = "/v1/certificates/{certificate}/renew", tag = "certificate", operation_id = "renew_certificate",
    params(("certificate" = String, Path, example = "c3")),
    responses(
        (status = 202, body = Certificate),
        (status = 404, body = ErrorBody, description = "`certificate_not_found`"),
        (status = 409, body = ErrorBody, description = "`not_renewable`"),
    ))]
pub(crate) async fn renew(
    State(state): State<AppState>,
    Caller(actor): Caller,
    CertificatePath(id): CertificatePath,
) -> Result<(StatusCode, Json<Certificate>), Refusal> {
    let asked = transaction::write(&state, actor, move |tx| {
        let row = tx.get_certificate(id)?;
        if row.source == Source::Uploaded {
            return Err(Refusal::new(
                Code::NotRenewable,
                format!("certificate {id} was uploaded, not ordered"),
            )
            .hint("upload its successor; it takes its place when it is for the same names"));
        }
        if !row.is_wanted {
            return Err(Refusal::new(
                Code::NotRenewable,
                format!("no service wants certificate {id} any more"),
            ));
        }
        tx.renew_certificate(id)?;
        wire(tx, tx.get_certificate(id)?)
    });
    Ok((StatusCode::ACCEPTED, Json(asked.await?)))
}
