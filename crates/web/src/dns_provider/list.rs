//! `GET /v1/dns-providers`: zones and who has them. Tests: `tests/it/issuer.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::{DnsProvider, DnsProviderList};

use crate::error::Refusal;
use crate::state::AppState;

/// List DNS providers by zone, without credentials.
#[utoipa::path(get, path = "/v1/dns-providers", tag = "certificate", operation_id = "list_dns_providers",
    responses((status = 200, body = DnsProviderList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<DnsProviderList>, Refusal> {
    let rows = state.store.read(|view| view.list_dns_providers()).await?;
    let providers = rows.into_iter().map(|(zone, kind)| DnsProvider { zone, kind }).collect();
    Ok(Json(DnsProviderList { providers }))
}
