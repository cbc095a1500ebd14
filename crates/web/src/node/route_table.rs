//! `GET /v1/route-table`: what the edges are told, for people who look for a cause. Tests: `tests/it/node.rs`.

use axum::Json;
use axum::extract::State;

use crate::edge::wire;
use crate::error::Refusal;
use crate::state::AppState;

/// The stored route table, without its probe key.
#[utoipa::path(get, path = "/v1/route-table", tag = "node", operation_id = "get_route_table",
    responses((status = 200, body = Object, description = "`havre_api::route_table::RouteTable`")))]
pub(crate) async fn route_table(
    State(state): State<AppState>,
) -> Result<Json<havre_api::route_table::RouteTable>, Refusal> {
    let (generation, table) = state.store.read(|view| view.route_table()).await?;
    // The key is known to control and the edges only.
    Ok(Json(wire::table(generation, String::new(), &table)))
}
