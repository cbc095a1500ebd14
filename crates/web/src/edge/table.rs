//! `GET /edge/v1/table`: the next route table, waited for. Tests: `tests/it/edge.rs`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::edge::wire;
use crate::error::Refusal;
use crate::extract::Params;
use crate::state::AppState;

/// Query of `GET /edge/v1/table`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct TableQuery {
    /// Generation in use; only a greater one is answered.
    after: u64,
    /// Longest wait for it.
    wait_ms: u64,
}

/// The route table once it is newer than `after`; 204 when it was not in time.
#[utoipa::path(get, path = "/edge/v1/table", tag = "edge", operation_id = "get_table",
    params(TableQuery),
    responses(
        (status = 200, body = Object, description = "`havre_api::route_table::RouteTable`"),
        (status = 204, description = "Nothing newer"),
    ))]
pub(crate) async fn table(
    State(state): State<AppState>,
    Params(query): Params<TableQuery>,
) -> Result<Response, Refusal> {
    let wait = Duration::from_millis(query.wait_ms).min(state.limits.table_wait);
    let deadline = Instant::now() + wait;
    // Subscribed before the first look, so that nothing falls between look and wait.
    let mut changes = state.store.changes();
    loop {
        changes.mark_unchanged();
        let (generation, table) = state.store.read(|view| view.route_table()).await?;
        if generation > query.after {
            let wire = wire::table(generation, state.store.probe_key().to_owned(), &table);
            return Ok(Json(wire).into_response());
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = tokio::time::sleep_until(deadline) => break,
            () = state.stop.cancelled() => break,
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
