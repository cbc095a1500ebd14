//! `POST /v1/job-runs/{run}/cancel`: the loop stops its task. Tests: `tests/it/job.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::job::JobRun;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::JobRunPath;
use crate::job::wire;
use crate::state::AppState;
use crate::{lookup, transaction};

/// Cancel a run of a job: its task is told to stop, and no further attempt follows.
#[utoipa::path(post, path = "/v1/job-runs/{run}/cancel", tag = "job", operation_id = "cancel_job_run",
    params(("run" = String, Path, example = "j12")),
    responses(
        (status = 202, body = JobRun),
        (status = 404, body = ErrorBody, description = "`job_run_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Caller(actor): Caller,
    JobRunPath(id): JobRunPath,
) -> Result<(StatusCode, Json<JobRun>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let (row, place) = lookup::job_run(tx, id)?;
        if row.state.is_final() {
            let message = format!("{id} is over already: it is {}", row.state.name());
            return Err(Refusal::new(Code::AlreadyOver, message));
        }
        tx.request_job_cancel(id)?;
        let row = tx.get_job_run(id)?;
        wire(tx, row, place)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
