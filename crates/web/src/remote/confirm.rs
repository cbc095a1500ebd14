//! `POST /v1/projects/{project}/remote/deploy-key/confirm`: the newest deploy key is known at the forge. Tests: `tests/it/remote_ssh.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::remote::Remote;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::remote::{find_over_ssh, wire};
use crate::state::AppState;
use crate::transaction;

/// Forget every deploy key but the newest, once that was added at the forge. Nothing happens where it is alone.
#[utoipa::path(post, path = "/v1/projects/{project}/remote/deploy-key/confirm", tag = "pipeline",
    operation_id = "confirm_deploy_key",
    params(("project" = String, Path, example = "dropit")),
    responses(
        (status = 200, body = Remote),
        (status = 404, body = ErrorBody, description = "`remote_not_found`"),
        (status = 422, body = ErrorBody, description = "`remote_invalid`: it is not fetched over SSH"),
    ))]
pub(crate) async fn confirm(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ProjectPath(project): ProjectPath,
) -> Result<Json<Remote>, Refusal> {
    let done = transaction::write(&state, actor, move |tx| {
        let row = find_over_ssh(tx, &project)?;
        tx.confirm_deploy_key(&project)?;
        Ok(wire(tx, row)?)
    });
    Ok(Json(done.await?))
}
