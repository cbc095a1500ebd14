//! `havre job run`: a run now, whatever the schedule says, followed to its end. It belongs to the server: leaving does not
//! stop it. Tests: `tests/it/job.rs`.

use std::time::Duration;

use havre_api::job::JobRun;
use havre_core::id::JobRunId;
use havre_core::job::state::State;

use super::logs::{self, ATTEMPTS, PAUSE};
use super::{Named, find_service, remark, runs_path};
use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::invocation::Invocation;
use crate::output::{self, printable, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,
    /// Only ask for the run, do not follow it
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let json = invocation.global.json;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let service = find_service(&client, &scope, &options.named).await?;
    let begun: JobRun = client.post(&runs_path(&scope, &service, &options.named.job)).await?;
    output::say(&format!("{} of {} of {} is asked for", begun.id, begun.job, begun.place));
    if options.detach {
        if json {
            output::json(&begun)?;
        } else {
            output::data(&format!("{}\n", begun.id))?;
        }
        return Ok(Exit::Ok);
    }
    tokio::select! {
        result = follow(&client, begun.id, json) => result,
        _ = tokio::signal::ctrl_c() => {
            output::say(&format!("{0} goes on; `havre job cancel {0}` stops it", begun.id));
            Ok(Exit::Interrupted)
        }
    }
}

/// Shows its log, then how it ended. With `--json`, only the run as it ended.
async fn follow(client: &Client, id: JobRunId, json: bool) -> Result<Exit, CliError> {
    if !json && let Err(error) = logs::show(client, id, true, false).await {
        if error.message.is_empty() {
            return Err(error);
        }
        output::say(&format!("note: could not show its log any further: {error}"));
    }
    let run = end(client, id).await?;
    if json {
        output::json(&run)?;
    }
    let took = match (run.started_at, run.ended_at) {
        (Some(started), Some(ended)) => ended.since(started),
        _ => Duration::ZERO,
    };
    if matches!(run.state, State::Succeeded { .. }) {
        output::say(&format!("{id} succeeded in {}", time::length(took)));
        return Ok(Exit::Ok);
    }
    let name = run.state.name().replace('_', " ");
    let message = match remark(&run) {
        "" => format!("{id} {name}"),
        why => format!("{id} {name}: {}", printable(why)),
    };
    Err(CliError::new(Exit::Failed, message).hint(format!("`havre job logs {id}` shows what it wrote")))
}

/// The run once it has ended.
async fn end(client: &Client, id: JobRunId) -> Result<JobRun, CliError> {
    let mut attempts = 0;
    loop {
        match client.get::<JobRun>(&format!("/v1/job-runs/{id}")).await {
            Ok(run) if run.is_final => return Ok(run),
            Ok(_) => attempts = 0,
            Err(error) if error.exit == Exit::Unreachable && attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
