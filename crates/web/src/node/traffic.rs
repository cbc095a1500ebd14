//! `GET /v1/traffic`: what goes through the edges now. Tests: `tests/it/edge.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::traffic::TrafficList;

use crate::state::AppState;

/// Traffic of the last two seconds, by edge, service or site, and release.
#[utoipa::path(get, path = "/v1/traffic", tag = "node", operation_id = "get_traffic",
    responses((status = 200, body = TrafficList)))]
pub(crate) async fn traffic(State(state): State<AppState>) -> Json<TrafficList> {
    Json(TrafficList { edges: state.board().list(state.now()) })
}
