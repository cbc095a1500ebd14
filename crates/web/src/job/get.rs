//! `GET /v1/job-runs/{run}`. Tests: `tests/it/job.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::job::JobRun;

use crate::error::Refusal;
use crate::extract::JobRunPath;
use crate::job::wire;
use crate::state::AppState;
use crate::{lookup, transaction};

/// One run of a job.
#[utoipa::path(get, path = "/v1/job-runs/{run}", tag = "job", operation_id = "get_job_run",
    params(("run" = String, Path, example = "j12")),
    responses(
        (status = 200, body = JobRun),
        (status = 404, body = ErrorBody, description = "`job_run_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    JobRunPath(id): JobRunPath,
) -> Result<Json<JobRun>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let (row, place) = lookup::job_run(view, id)?;
        wire(view, row, place)
    });
    Ok(Json(answer.await?))
}
