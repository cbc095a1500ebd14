//! `POST /v1/projects/{project}/remote/deploy-key`: another deploy key beside the one that is there. Tests: `tests/it/remote_ssh.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::remote::Remote;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::remote::{find_over_ssh, ssh, wire};
use crate::state::AppState;
use crate::transaction;

/// Make another deploy key. Both are offered, the new one first, until the new one is confirmed: so nothing stands still before it is added
/// at the forge. One that was made before and never confirmed is forgotten.
#[utoipa::path(post, path = "/v1/projects/{project}/remote/deploy-key", tag = "pipeline", operation_id = "rotate_deploy_key",
    params(("project" = String, Path, example = "dropit")),
    responses(
        (status = 200, body = Remote),
        (status = 404, body = ErrorBody, description = "`remote_not_found`"),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`remote_invalid`: it is not fetched over SSH"),
    ))]
pub(crate) async fn rotate(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ProjectPath(project): ProjectPath,
) -> Result<Json<Remote>, Refusal> {
    let key = ssh::make_deploy_key(&state, &project)?;
    let done = transaction::write(&state, actor, move |tx| {
        let row = find_over_ssh(tx, &project)?;
        tx.add_deploy_key(&project, key)?;
        Ok(wire(tx, row)?)
    });
    Ok(Json(done.await?))
}
