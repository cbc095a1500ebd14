//! `PUT /v1/backup-targets/{target}`: where backups go. Nothing is reached here: whether it can be used is for the loop to find out.
//! Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::{BackupTarget, SetBackupTargetRequest};
use havre_api::error::ErrorBody;
use havre_core::backup::credential;
use havre_core::backup::target::TargetSpec;
use havre_core::secret::Secret;
use havre_rescue::stock::is_reserved;

use crate::access::gate::Caller;
use crate::backup::{credential_refused, wire_target};
use crate::error::{Code, Refusal};
use crate::extract::{BackupTargetPath, Input};
use crate::state::AppState;
use crate::transaction;

/// Set a target of backups. A new one gets a repository of its own under a new password. Only on the server's own machine.
#[utoipa::path(put, path = "/v1/backup-targets/{target}", tag = "backup", operation_id = "set_backup_target",
    params(("target" = String, Path, example = "disk-two")),
    request_body = SetBackupTargetRequest,
    responses(
        (status = 200, body = BackupTarget),
        (status = 403, body = ErrorBody, description = "`machine_only`"),
        (status = 409, body = ErrorBody, description = "`backup_target_elsewhere` or `no_master_key`"),
        (status = 422, body = ErrorBody, description = "`backup_target_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    BackupTargetPath(name): BackupTargetPath,
    Input(request): Input<SetBackupTargetRequest>,
) -> Result<Json<BackupTarget>, Refusal> {
    let SetBackupTargetRequest { location, medium, is_offsite, credential } = request;
    if is_reserved(&name) {
        let message = format!("`{name}` is what the live data is called among the copies");
        return Err(Refusal::new(Code::BackupTargetInvalid, message).hint("choose another name"));
    }
    location.check().map_err(|message| Refusal::new(Code::BackupTargetInvalid, message))?;
    let credential = credential.map(Secret::from);
    let credential = credential.map(|text| credential::parse(&location, &text)).transpose();
    let credential = credential.map_err(credential_refused)?;
    let spec = TargetSpec { name, location, medium, is_offsite };
    let answer = transaction::write(&state, actor, move |tx| {
        let is_missing = spec.location.needs_credential() && credential.is_none();
        let before = tx.find_backup_target(&spec.name)?;
        if is_missing && before.is_none_or(|before| !before.has_credential) {
            return Err(credential_refused(credential::CredentialError::Missing));
        }
        let (row, _) = tx.set_backup_target(&spec, credential.as_ref())?;
        Ok(wire_target(row))
    });
    Ok(Json(answer.await?))
}
