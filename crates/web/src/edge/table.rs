//! `GET /edge/v1/table` and `GET /edge/v1/changes`: the next route table, whole or as what leads to it, waited for.
//! Tests: `tests/it/edge.rs`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use havre_api::route_change::RouteChange;
use havre_api::route_table::RouteTable;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::edge::wire;
use crate::error::Refusal;
use crate::extract::Params;
use crate::state::AppState;

/// Query of both.
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
    Ok(match newer(&state, &query).await? {
        Some(table) => Json(&*table).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// What leads from the table of generation `after` to the newest; 204 when nothing newer came in time, 410 when control
/// does not remember that table any more and the edge must take the whole one.
#[utoipa::path(get, path = "/edge/v1/changes", tag = "edge", operation_id = "get_changes",
    params(TableQuery),
    responses(
        (status = 200, body = Object, description = "`havre_api::route_change::RouteChange`"),
        (status = 204, description = "Nothing newer"),
        (status = 410, description = "Take the whole table"),
    ))]
pub(crate) async fn changes(
    State(state): State<AppState>,
    Params(query): Params<TableQuery>,
) -> Result<Response, Refusal> {
    let Some(table) = newer(&state, &query).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    // Comparing thousands of services takes milliseconds.
    let compare = tokio::task::spawn_blocking(move || {
        let before = state.tables().of(query.after)?;
        RouteChange::between(&before, &table)
    });
    Ok(match compare.await.expect("comparing does not panic and is never cancelled") {
        Some(change) => Json(change).into_response(),
        None => StatusCode::GONE.into_response(),
    })
}

/// Waits for a table newer than the one asked about.
async fn newer(state: &AppState, query: &TableQuery) -> Result<Option<Arc<RouteTable>>, Refusal> {
    let wait = Duration::from_millis(query.wait_ms).min(state.limits.table_wait);
    let deadline = Instant::now() + wait;
    // Subscribed before the first look, so that nothing falls between look and wait.
    let mut changes = state.store.changes();
    loop {
        changes.mark_unchanged();
        if state.store.read(|view| view.route_generation()).await? > query.after {
            let (generation, table) = state.store.read(|view| view.route_table()).await?;
            let table = wire::table(generation, state.store.probe_key().to_owned(), &table);
            return Ok(Some(state.tables().remember(table)));
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = tokio::time::sleep_until(deadline) => break,
            () = state.stop.cancelled() => break,
        }
    }
    Ok(None)
}
