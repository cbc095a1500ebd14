//! `havre ci cancel`: asks a pipeline to stop; what is live stays live.

use havre_api::pipeline::Pipeline;
use havre_core::id::PipelineId;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Pipeline, such as i7
    pipeline: PipelineId,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let found: Pipeline = client.post(&format!("/v1/pipelines/{}/cancel", options.pipeline)).await?;
    match invocation.global.json {
        true => output::json(&found)?,
        false => output::say(&format!("{} should stop; what is live stays live", found.id)),
    }
    Ok(Exit::Ok)
}
