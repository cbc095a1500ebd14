//! `POST /v1/backup-runs/{backup_run}/cancel`: the loop stops it. Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::BackupRun;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::backup::wire_run;
use crate::error::{Code, Refusal};
use crate::extract::BackupRunPath;
use crate::state::AppState;
use crate::transaction;

/// Cancel a run of a backup. What it has stored so far is no snapshot, and is removed.
#[utoipa::path(post, path = "/v1/backup-runs/{backup_run}/cancel", tag = "backup",
    operation_id = "cancel_backup_run",
    params(("backup_run" = String, Path, example = "u12")),
    responses(
        (status = 202, body = BackupRun),
        (status = 404, body = ErrorBody, description = "`backup_run_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Caller(actor): Caller,
    BackupRunPath(id): BackupRunPath,
) -> Result<(StatusCode, Json<BackupRun>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let row = tx.get_backup_run(id)?;
        if row.state.is_over() {
            let message = format!("{id} is over already: it is {}", row.shown_state());
            return Err(Refusal::new(Code::AlreadyOver, message));
        }
        tx.request_backup_cancel(id)?;
        Ok(wire_run(tx.get_backup_run(id)?))
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
