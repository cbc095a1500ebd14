//! `POST /v1/ssh-keys`: adds a public key. One key stands for one way in: it cannot be added twice. Tests: `tests/it/ssh_key.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::ssh_key::{AddSshKeyRequest, SshKey};
use havre_store::NewSshKey;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::Input;
use crate::ssh_key::{fingerprint, wire};
use crate::state::AppState;
use crate::transaction;

/// Add a key by which somebody pushes over SSH. Only on the server's own machine.
#[utoipa::path(post, path = "/v1/ssh-keys", tag = "access", operation_id = "add_ssh_key",
    request_body = AddSshKeyRequest,
    responses(
        (status = 201, body = SshKey),
        (status = 403, body = ErrorBody, description = "`machine_only`"),
        (status = 409, body = ErrorBody, description = "`name_taken`"),
    ))]
pub(crate) async fn add(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Input(request): Input<AddSshKeyRequest>,
) -> Result<(StatusCode, Json<SshKey>), Refusal> {
    let AddSshKeyRequest { name, project, public_key } = request;
    let fingerprint = fingerprint(&public_key);
    let added = transaction::write(&state, actor, move |tx| {
        if let Some(known) = tx.find_ssh_key_by_fingerprint(&fingerprint)? {
            let message = format!("this very key is known already, as {}", known.name);
            return Err(Refusal::new(Code::NameTaken, message).hint(format!(
                "`havre ssh-key remove {}` forgets it; then it can be added anew",
                known.name
            )));
        }
        Ok(tx.add_ssh_key(NewSshKey { name, project, public_key, fingerprint })?)
    });
    Ok((StatusCode::CREATED, Json(wire(added.await?))))
}
