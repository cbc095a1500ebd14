//! `POST .../services/{service}/jobs/{job}/runs`: a run now; the loop does it. Tests: `tests/it/job.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::job::JobRun;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::JobPath;
use crate::job::wire;
use crate::state::AppState;
use crate::{lookup, transaction};

/// Run a job now, whatever its schedule says.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/jobs/{job}/runs",
    tag = "job", operation_id = "run_job",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ("job" = String, Path, example = "cleanup")),
    responses(
        (status = 202, body = JobRun),
        (status = 404, body = ErrorBody, description = "`service_not_found` or `job_not_found`"),
        (status = 409, body = ErrorBody, description = "`job_running`, `nothing_live` or `being_destroyed`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    JobPath { place, job }: JobPath,
) -> Result<(StatusCode, Json<JobRun>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let service = lookup::usable_service(tx, &place)?;
        lookup::live(tx, &service)?;
        lookup::job(tx, &service, &job)?;
        let run = tx.request_job_run(service.id, &job)?;
        wire(tx, run, service.place)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
