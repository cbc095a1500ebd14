//! `GET /v1/backup-runs/{backup_run}`. Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::BackupRun;
use havre_api::error::ErrorBody;

use crate::backup::wire_run;
use crate::error::Refusal;
use crate::extract::BackupRunPath;
use crate::state::AppState;

/// One run of a backup.
#[utoipa::path(get, path = "/v1/backup-runs/{backup_run}", tag = "backup", operation_id = "get_backup_run",
    params(("backup_run" = String, Path, example = "u12")),
    responses(
        (status = 200, body = BackupRun),
        (status = 404, body = ErrorBody, description = "`backup_run_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    BackupRunPath(id): BackupRunPath,
) -> Result<Json<BackupRun>, Refusal> {
    let row = state.store.read(move |view| view.get_backup_run(id)).await?;
    Ok(Json(wire_run(row)))
}
