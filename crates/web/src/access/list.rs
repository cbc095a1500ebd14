//! `GET /v1/tokens`: every token that works, without secrets. Tests: `tests/it/access.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::access::{Token, TokenList};

use crate::error::Refusal;
use crate::state::AppState;

/// List access tokens. Only on the server's own machine.
#[utoipa::path(get, path = "/v1/tokens", tag = "access", operation_id = "list_tokens",
    responses((status = 200, body = TokenList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<TokenList>, Refusal> {
    let rows = state.store.read(|view| view.list_tokens()).await?;
    let tokens = rows
        .into_iter()
        .map(|row| Token {
            id: row.id,
            name: row.name,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        })
        .collect();
    Ok(Json(TokenList { tokens }))
}
