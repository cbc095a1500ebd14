//! `havre webhook remove`: from now on deliveries of that sender are refused.

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::webhook::ProviderName;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Who sends, such as github
    provider: ProviderName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let target = format!("/v1/projects/{project}/webhooks/{}", options.provider);
    let () = invocation.client()?.delete(&target).await?;
    output::say(&format!("deliveries of {} for {project} are refused from now on", options.provider));
    Ok(Exit::Ok)
}
