//! `havre ci rerun`: the same commit once more.

use havre_api::pipeline::Pipeline;
use havre_core::id::PipelineId;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::pipeline::{exit, state, wait};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Pipeline whose commit is built and deployed again, such as i7
    pipeline: PipelineId,
    /// Wait for its end; 0 only when it succeeded
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let mut made: Pipeline = client.post(&format!("/v1/pipelines/{}/rerun", options.pipeline)).await?;
    if options.wait {
        made = wait(&client, made.id).await?;
    }
    match invocation.global.json {
        true => output::json(&made)?,
        false => output::data(&format!("{} is {}\n", made.id, output::printable(&state(&made))))?,
    }
    Ok(if options.wait { exit(&made) } else { Exit::Ok })
}
