//! `DELETE /v1/registries/{host}`. Tests: `tests/it/registry.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::RegistryPath;
use crate::state::AppState;

/// Forget the credentials of a registry. What was pulled stays; from now on its images are pulled without any.
#[utoipa::path(delete, path = "/v1/registries/{host}", tag = "registry", operation_id = "remove_registry",
    params(("host" = String, Path, example = "registry.example.org:5000")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`registry_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    RegistryPath(host): RegistryPath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.remove_registry(&host)).await?;
    Ok(StatusCode::NO_CONTENT)
}
