//! `GET /v1/status`: version, engine, edges, loops. Tests: `tests/it/node.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::node::{EdgeStatus, NodeStatus};

use crate::error::Refusal;
use crate::state::AppState;

/// State of the installation.
#[utoipa::path(get, path = "/v1/status", tag = "node", operation_id = "get_status",
    responses((status = 200, body = NodeStatus)))]
pub(crate) async fn status(State(state): State<AppState>) -> Result<Json<NodeStatus>, Refusal> {
    let now = state.now();
    let node = state.node.borrow().clone();
    let edges = state.store.edges().into_iter().map(|edge| EdgeStatus {
        is_fresh: edge.is_fresh(now),
        edge: edge.edge,
        generation: edge.generation,
        listeners: edge.listeners,
        reported_at: edge.at,
    });
    let edges = edges.collect();
    let (generation, last_event) =
        state.store.read(|view| Ok((view.route_table()?.0, view.last_event()?))).await?;
    Ok(Json(NodeStatus {
        version: state.version.clone(),
        installation: state.store.installation().to_owned(),
        engine: node.engine,
        edges,
        generation,
        last_event,
        loops: node.loops,
    }))
}
