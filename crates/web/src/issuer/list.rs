//! `GET /v1/issuers`. Tests: `tests/it/issuer.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::IssuerList;

use crate::error::Refusal;
use crate::issuer::wire;
use crate::state::AppState;
use crate::transaction;

/// List issuers, the first that is asked first.
#[utoipa::path(get, path = "/v1/issuers", tag = "certificate", operation_id = "list_issuers",
    responses((status = 200, body = IssuerList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<IssuerList>, Refusal> {
    let issuers = transaction::read(&state, |view| {
        view.list_issuers()?.into_iter().map(|row| wire(view, row)).collect::<Result<_, _>>()
    });
    Ok(Json(IssuerList { issuers: issuers.await? }))
}
