//! `GET .../services/{service}/jobs/{job}/runs`. Tests: `tests/it/job.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::job::JobRunList;
use havre_api::release::ListQuery;

use crate::error::Refusal;
use crate::extract::{JobPath, Params};
use crate::job::wire;
use crate::release::list::limit;
use crate::state::AppState;
use crate::{lookup, transaction};

/// List the runs of a job.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/jobs/{job}/runs",
    tag = "job", operation_id = "list_job_runs",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ("job" = String, Path, example = "cleanup"), ListQuery),
    responses(
        (status = 200, body = JobRunList),
        (status = 404, body = ErrorBody, description = "`service_not_found` or `job_not_found`"),
    ))]
pub(crate) async fn runs(
    State(state): State<AppState>,
    JobPath { place, job }: JobPath,
    Params(query): Params<ListQuery>,
) -> Result<Json<JobRunList>, Refusal> {
    let limit = limit(&query)?;
    let runs = transaction::read(&state, move |view| {
        let service = lookup::service(view, &place)?;
        let rows = view.list_job_runs(service.id, &job, limit)?;
        // A job that is gone keeps its history; one that never was has none.
        if rows.is_empty() {
            lookup::job(view, &service, &job)?;
        }
        rows.into_iter().map(|row| wire(view, row, service.place.clone())).collect()
    });
    Ok(Json(JobRunList { runs: runs.await? }))
}
