//! `GET /v1/backup-runs`. Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::{BackupRunList, BackupRunQuery};
use havre_api::error::ErrorBody;
use havre_api::release::ListQuery;
use havre_core::backup::What;
use havre_core::backup::run::RunFilter;

use crate::backup::wire_run;
use crate::error::{Code, Refusal};
use crate::extract::Params;
use crate::release::list::limit;
use crate::state::AppState;

/// List runs of backups.
#[utoipa::path(get, path = "/v1/backup-runs", tag = "backup", operation_id = "list_backup_runs",
    params(BackupRunQuery),
    responses(
        (status = 200, body = BackupRunList),
        (status = 400, body = ErrorBody, description = "`query_invalid`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Params(query): Params<BackupRunQuery>,
) -> Result<Json<BackupRunList>, Refusal> {
    let BackupRunQuery { what, target, state: run_state, limit: wanted } = query;
    let limit = limit(&ListQuery { limit: wanted })?;
    let what = what.map(|text| text.parse::<What>()).transpose();
    let what = what.map_err(|error| Refusal::new(Code::QueryInvalid, error.to_string()))?;
    let filter = RunFilter { what, target, state: run_state };
    let rows = state.store.read(move |view| view.list_backup_runs(&filter, limit)).await?;
    Ok(Json(BackupRunList { runs: rows.into_iter().map(wire_run).collect() }))
}
