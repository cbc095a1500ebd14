//! `havre backup cancel`: asks runs to stop; what they have stored so far is no snapshot.

use havre_api::backup::BackupRun;
use havre_core::id::BackupRunId;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs, such as u12
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<BackupRunId>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    for id in options.runs {
        let found: BackupRun = client.post(&format!("/v1/backup-runs/{id}/cancel")).await?;
        if invocation.global.json {
            output::json_line(&found)?;
        } else {
            output::say(&format!("{id} of {} to {} should stop", found.name, found.target));
        }
    }
    Ok(Exit::Ok)
}
