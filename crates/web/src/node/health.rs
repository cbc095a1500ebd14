//! `GET /v1/health`: whether the API works and the store can be read. Tests: `tests/it/node.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::node::Health;

use crate::error::Refusal;
use crate::state::AppState;

/// Whether the server works. Needs no token and tells nothing else.
#[utoipa::path(get, path = "/v1/health", tag = "node", operation_id = "get_health", security(()),
    responses(
        (status = 200, body = Health),
        (status = 503, body = ErrorBody, description = "`unavailable`"),
    ))]
pub(crate) async fn health(State(state): State<AppState>) -> Result<Json<Health>, Refusal> {
    state.store.read(|view| view.last_event()).await?;
    Ok(Json(Health { status: "ok".to_owned() }))
}
