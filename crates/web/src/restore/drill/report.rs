//! `GET /v1/drills/{drill}/report`: what stays of a drill, and whether this installation wrote it. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::DrillReport;

use crate::error::{Code, Refusal};
use crate::extract::DrillPath;
use crate::restore::wire_drill;
use crate::state::AppState;
use crate::transaction;

/// The report of a drill that is over. Its signature is checked with every answer.
#[utoipa::path(get, path = "/v1/drills/{drill}/report", tag = "restore", operation_id = "get_drill_report",
    params(("drill" = String, Path, example = "x7")),
    responses(
        (status = 200, body = DrillReport),
        (status = 404, body = ErrorBody, description = "`drill_not_found`"),
        (status = 409, body = ErrorBody, description = "`drill_running` or `no_master_key`"),
    ))]
pub(crate) async fn report(
    State(state): State<AppState>,
    DrillPath(id): DrillPath,
) -> Result<Json<DrillReport>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let drill = view.get_drill(id)?;
        let Some(report) = drill.report.clone() else {
            return Err(Refusal::new(
                Code::DrillRunning,
                format!("{id} is not over, so it has no report yet"),
            )
            .hint("`havre backup report` lists drills"));
        };
        let is_signed = view.is_report_signed(&report)?;
        let (text, signature) = (report.text, report.signature);
        Ok(DrillReport { drill: wire_drill(drill), text, signature, is_signed })
    });
    Ok(Json(answer.await?))
}
