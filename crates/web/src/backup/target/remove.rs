//! `DELETE /v1/backup-targets/{target}`. Tests: `tests/it/backup.rs`.

use axum::extract::State;
use havre_api::backup::RemoveBackupTargetQuery;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{BackupTargetPath, Params};
use crate::state::AppState;

/// Forget a target of backups with its runs and the password of its repository. The repository is left as it is. Only on the server's own
/// machine.
#[utoipa::path(delete, path = "/v1/backup-targets/{target}", tag = "backup",
    operation_id = "remove_backup_target",
    params(("target" = String, Path, example = "disk-two"), RemoveBackupTargetQuery),
    responses(
        (status = 204),
        (status = 403, body = ErrorBody, description = "`machine_only`"),
        (status = 404, body = ErrorBody, description = "`backup_target_not_found`"),
        (status = 409, body = ErrorBody, description = "`backup_target_in_use`"),
    ))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    BackupTargetPath(name): BackupTargetPath,
    Params(query): Params<RemoveBackupTargetQuery>,
) -> Result<StatusCode, Refusal> {
    let removed =
        state.store.write(state.now(), actor, move |tx| tx.remove_backup_target(&name, query.force));
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}
