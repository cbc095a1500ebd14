//! `havre preview close`: takes the preview of a pull request down before its time.

use havre_api::preview::Preview;
use havre_core::preview::PullNumber;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::preview::path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Number of the pull request
    number: PullNumber,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let closing: Preview = invocation.client()?.post(&path(&project, options.number, "close")).await?;
    match invocation.global.json {
        true => output::json(&closing)?,
        false => output::say(&format!(
            "the preview of pull request {} is taken down with its data; the next push makes it again",
            closing.number
        )),
    }
    Ok(Exit::Ok)
}
