//! `GET /v1/projects/{project}/environments/{environment}/jobs`. Tests: `tests/it/job.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::job::{Job, JobList};
use havre_core::time::Timestamp;
use havre_store::{LiveJobs, View};

use crate::error::Refusal;
use crate::extract::EnvironmentPath;
use crate::job::wire;
use crate::state::AppState;
use crate::{lookup, transaction};

/// List the jobs of an environment, as its live releases have them.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/jobs", tag = "job",
    operation_id = "list_jobs",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production")),
    responses(
        (status = 200, body = JobList),
        (status = 404, body = ErrorBody, description = "`environment_not_found`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    path: EnvironmentPath,
) -> Result<Json<JobList>, Refusal> {
    let now = state.now();
    let answer = transaction::read(&state, move |view| {
        let environment = lookup::environment(view, &path.project, &path.environment)?;
        let mut jobs = Vec::new();
        for service in view.list_environment_services(environment.id)? {
            if let Some(live) = view.find_live_jobs(service.id)? {
                jobs.extend(derive(view, live, now)?);
            }
        }
        jobs.sort_by(|one: &Job, other: &Job| {
            (&one.name, one.service_id).cmp(&(&other.name, other.service_id))
        });
        Ok(JobList { jobs })
    });
    Ok(Json(answer.await?))
}

fn derive(view: &View<'_>, live: LiveJobs, now: Timestamp) -> Result<Vec<Job>, Refusal> {
    let mut jobs = Vec::new();
    for (name, spec) in live.jobs {
        let open = view.find_open_job_run(live.service, &name)?;
        let last = view.find_last_job_run(live.service, &name)?;
        jobs.push(Job {
            service_id: live.service,
            place: live.place.clone(),
            release: live.release,
            next_at: spec.next_after(now),
            open: open.map(|run| wire(view, run, live.place.clone())).transpose()?,
            last: last.map(|run| wire(view, run, live.place.clone())).transpose()?,
            name,
            spec,
        });
    }
    Ok(jobs)
}
