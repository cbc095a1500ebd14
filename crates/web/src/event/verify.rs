//! `GET /v1/events/chain`: whether the log is as it was written. Tests: `tests/it/event.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::event::EventChain;
use havre_store::Chain;

use crate::error::Refusal;
use crate::state::AppState;

/// Look whether events were changed or removed behind Havre's back.
#[utoipa::path(get, path = "/v1/events/chain", tag = "event", operation_id = "verify_events",
    responses((status = 200, body = EventChain)))]
pub(crate) async fn verify(State(state): State<AppState>) -> Result<Json<EventChain>, Refusal> {
    let Chain { events, unchained, newest, broken_at } =
        state.store.read(|view| view.verify_events()).await?;
    Ok(Json(EventChain { events, unchained, newest_hash: newest, broken_at }))
}
