//! `havre job cancel`: asks runs to stop; no further attempt follows.

use havre_api::job::JobRun;
use havre_core::id::JobRunId;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs, such as j12
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<JobRunId>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    for id in options.runs {
        let found: JobRun = client.post(&format!("/v1/job-runs/{id}/cancel")).await?;
        if invocation.global.json {
            output::json_line(&found)?;
        } else {
            output::say(&format!("{id} of {} of {} should stop", found.job, found.place));
        }
    }
    Ok(Exit::Ok)
}
