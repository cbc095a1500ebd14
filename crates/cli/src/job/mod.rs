//! Jobs: what runs by a schedule or by hand, and its runs. Tests: `tests/it/job.rs`, and those of the tables in their files.

pub(crate) mod cancel;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod run;
pub(crate) mod runs;

use havre_api::job::{Job, JobList, JobRun};
use havre_core::name::{JobName, ServiceName};

use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::invocation::Scope;

/// Which job is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Job
    job: JobName,
    /// Its service, when several have a job of this name, or a job that is gone
    #[arg(long, value_name = "NAME")]
    service: Option<ServiceName>,
}

/// The service of the job that was named, else the only one with a job of this name.
pub(crate) async fn find_service(
    client: &Client,
    scope: &Scope,
    named: &Named,
) -> Result<ServiceName, CliError> {
    if let Some(service) = &named.service {
        return Ok(service.clone());
    }
    let list: JobList = client.get(&format!("{}/jobs", scope.path())).await?;
    let found: Vec<&Job> = list.jobs.iter().filter(|job| job.name == named.job).collect();
    match found.as_slice() {
        [only] => Ok(only.place.service.clone()),
        [] => {
            let message = format!("{}/{} has no job {}", scope.project, scope.environment, named.job);
            Err(CliError::new(Exit::Absent, message)
                .hint("`havre job list` shows all of them; --service names the service of one that is gone"))
        }
        several => {
            let names: Vec<String> = several.iter().map(|job| job.place.service.to_string()).collect();
            let message = format!("several services have a job {}: name one with --service", named.job);
            Err(CliError::usage(message).hint(names.join(", ")))
        }
    }
}

/// Path of the runs of a job.
pub(crate) fn runs_path(scope: &Scope, service: &ServiceName, job: &JobName) -> String {
    scope.service(service, &format!("/jobs/{job}/runs"))
}

/// What there is to say besides its state: why it waits, else why it failed or never began.
pub(crate) fn remark(run: &JobRun) -> &str {
    if run.waiting.is_empty() { &run.failure } else { &run.waiting }
}
