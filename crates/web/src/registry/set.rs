//! `PUT /v1/registries/{host}`: what proves to a registry who pulls. Whether it is right shows with the next pull: nothing is sent
//! to the registry here. Tests: `tests/it/registry.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::registry::{Registry, SetRegistryRequest};
use havre_core::registry::{Credentials, parse_password};

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, RegistryPath};
use crate::state::AppState;

/// Set the credentials of a registry. They are used for images of exactly this host, in services and in builds.
#[utoipa::path(put, path = "/v1/registries/{host}", tag = "registry", operation_id = "set_registry",
    params(("host" = String, Path, example = "registry.example.org:5000")),
    request_body = SetRegistryRequest,
    responses(
        (status = 200, body = Registry),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`registry_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    RegistryPath(host): RegistryPath,
    Input(request): Input<SetRegistryRequest>,
) -> Result<Json<Registry>, Refusal> {
    let SetRegistryRequest { user, password } = request;
    let password =
        parse_password(password).map_err(|error| Refusal::new(Code::RegistryInvalid, error.to_string()))?;
    let credentials = Credentials { host, user, password };
    let set = state.store.write(state.now(), actor, move |tx| tx.set_registry(&credentials)).await?;
    Ok(Json(Registry { host: set.host, user: Some(set.user), set_at: Some(set.set_at), pulls: None }))
}
