//! `GET /v1/backup-targets`. Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::BackupTargetList;

use crate::backup::wire_target;
use crate::error::Refusal;
use crate::state::AppState;

/// List the targets of backups. Passwords and credentials are never shown.
#[utoipa::path(get, path = "/v1/backup-targets", tag = "backup", operation_id = "list_backup_targets",
    responses((status = 200, body = BackupTargetList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<BackupTargetList>, Refusal> {
    let rows = state.store.read(|view| view.list_backup_targets()).await?;
    Ok(Json(BackupTargetList { targets: rows.into_iter().map(wire_target).collect() }))
}
