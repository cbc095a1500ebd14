//! `GET /v1/ssh-keys`: every key that works. Tests: `tests/it/ssh_key.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::ssh_key::SshKeyList;

use crate::error::Refusal;
use crate::ssh_key::wire;
use crate::state::AppState;

/// List the keys by which somebody pushes over SSH. Only on the server's own machine.
#[utoipa::path(get, path = "/v1/ssh-keys", tag = "access", operation_id = "list_ssh_keys",
    responses((status = 200, body = SshKeyList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<SshKeyList>, Refusal> {
    let rows = state.store.read(|view| view.list_ssh_keys()).await?;
    Ok(Json(SshKeyList { ssh_keys: rows.into_iter().map(wire).collect() }))
}
