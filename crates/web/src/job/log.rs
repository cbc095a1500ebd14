//! `GET /v1/job-runs/{run}/log`: lines of every attempt of a run, as JSON lines. Tests: `tests/it/job.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::job::{JobLogEntry, JobLogQuery};

use crate::error::Refusal;
use crate::extract::{JobRunPath, Params};
use crate::state::AppState;
use crate::{lines, lookup, transaction};

/// Read or follow the log of a run of a job, as JSON lines.
#[utoipa::path(get, path = "/v1/job-runs/{run}/log", tag = "job", operation_id = "get_job_log",
    params(("run" = String, Path, example = "j12"), JobLogQuery),
    responses(
        (status = 200, body = JobLogEntry, content_type = "application/x-ndjson"),
        (status = 404, body = ErrorBody, description = "`job_run_not_found`"),
        (status = 503, body = ErrorBody, description = "`unavailable`"),
    ))]
pub(crate) async fn log(
    State(state): State<AppState>,
    JobRunPath(id): JobRunPath,
    Params(query): Params<JobLogQuery>,
) -> Result<Response, Refusal> {
    transaction::read(&state, move |view| lookup::job_run(view, id).map(|_| ())).await?;
    let entries = state.streams.job_log(id, query.follow).await?;
    let keep_alive = state.limits.keep_alive;
    lines::respond(&state, move |lines| async move { lines::pass_on(&lines, entries, keep_alive).await })
}
