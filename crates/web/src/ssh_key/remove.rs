//! `DELETE /v1/ssh-keys/{ssh_key}`: from the next connection on the key is unknown. Tests: `tests/it/ssh_key.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::SshKeyPath;
use crate::state::AppState;

/// Remove a key. Only on the server's own machine.
#[utoipa::path(delete, path = "/v1/ssh-keys/{ssh_key}", tag = "access", operation_id = "remove_ssh_key",
    params(("ssh_key" = String, Path, description = "Name of the key", example = "laptop")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`ssh_key_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    SshKeyPath(name): SshKeyPath,
) -> Result<StatusCode, Refusal> {
    state.store.write(state.now(), actor, move |tx| tx.remove_ssh_key(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
