//! `PUT /v1/dns-providers/{zone}`: who has a zone, and how to write to it. Tests: `tests/it/issuer.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::{DnsProvider, SetDnsProviderRequest};
use havre_api::error::ErrorBody;
use havre_core::dns::provider::Provider;
use havre_core::secret::Secret;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, ZonePath};
use crate::state::AppState;

/// Set the DNS provider of a zone. Hosts below the zone then get wildcard certificates.
#[utoipa::path(put, path = "/v1/dns-providers/{zone}", tag = "certificate", operation_id = "set_dns_provider",
    params(("zone" = String, Path, example = "example.org")),
    request_body = SetDnsProviderRequest,
    responses(
        (status = 200, body = DnsProvider),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`provider_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ZonePath(zone): ZonePath,
    Input(request): Input<SetDnsProviderRequest>,
) -> Result<Json<DnsProvider>, Refusal> {
    let fields = request.fields.into_iter().map(|(name, value)| (name, Secret::from(value))).collect();
    let provider = Provider::parse(request.kind, fields)
        .map_err(|error| Refusal::new(Code::ProviderInvalid, error.to_string()))?;
    let answer = DnsProvider { zone: zone.clone(), kind: request.kind };
    state.store.write(state.now(), actor, move |tx| tx.set_dns_provider(&zone, &provider)).await?;
    Ok(Json(answer))
}
