//! `POST /v1/backup-targets/{target}/kit`: the page with which somebody restores without Havre. That it was shown is recorded in the same
//! transaction. Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::{BackupKit, BackupKitQuery};
use havre_api::error::ErrorBody;
use havre_rescue::kit::{self, Kit};
use havre_rescue::place;
use havre_store::StoreError;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{BackupTargetPath, Params};
use crate::state::AppState;
use crate::transaction;

/// Show the recovery kit of a target: once, or `again` on purpose. Whoever has it reads every backup there. Only on the server's own
/// machine.
#[utoipa::path(post, path = "/v1/backup-targets/{target}/kit", tag = "backup",
    operation_id = "show_backup_kit",
    params(("target" = String, Path, example = "disk-two"), BackupKitQuery),
    responses(
        (status = 200, body = BackupKit),
        (status = 403, body = ErrorBody, description = "`machine_only`"),
        (status = 404, body = ErrorBody, description = "`backup_target_not_found`"),
        (status = 409, body = ErrorBody, description = "`kit_shown` or `no_backup_repository`"),
    ))]
pub(crate) async fn kit(
    State(state): State<AppState>,
    Caller(actor): Caller,
    BackupTargetPath(name): BackupTargetPath,
    Params(query): Params<BackupKitQuery>,
) -> Result<Json<BackupKit>, Refusal> {
    let (installation, made_at) = (state.store.installation().to_owned(), state.now());
    let answer = transaction::write(&state, actor, move |tx| {
        tx.record_kit_shown(&name, query.again)?;
        let open = tx.open_backup_target(&name)?;
        let missing = || StoreError::NoRepository { target: name.clone() };
        let kit = Kit {
            installation,
            location: open.location.to_string(),
            repository: open.repository.ok_or_else(missing)?,
            variables: open.location.variables(),
            host_key: open.location.host_key().cloned(),
            recover: place::command(&open.location),
            password: open.password,
            made_at,
        };
        let page = kit::page(&kit).expose_text().unwrap_or_default().to_owned();
        Ok(BackupKit { target: name, page })
    });
    Ok(Json(answer.await?))
}
