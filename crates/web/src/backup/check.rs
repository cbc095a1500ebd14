//! `GET /v1/backup-check`: what somebody has to look at, out of rows alone. What that is, is decided in `havre_rescue::check`; whoever
//! asks where control does not run is answered by `havred backup-check`. Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::BackupCheck;

use crate::error::Refusal;
use crate::state::AppState;

/// Show what of backups is not as it was promised: late copies, drills that failed or did not come, WAL that is behind.
#[utoipa::path(get, path = "/v1/backup-check", tag = "backup", operation_id = "get_backup_check",
    responses((status = 200, body = BackupCheck)))]
pub(crate) async fn check(State(state): State<AppState>) -> Result<Json<BackupCheck>, Refusal> {
    let now = state.now();
    let problems = state.store.read(move |view| view.list_backup_problems(now)).await?;
    Ok(Json(BackupCheck { problems }))
}
