//! `havre preview open`: makes the preview of a pull request now, where no webhook announces it.

use havre_api::preview::OpenPreviewRequest;
use havre_api::webhook::DeliveryAnswer;
use havre_core::preview::PullNumber;
use havre_core::source::BranchName;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::preview::path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Number of the pull request
    number: PullNumber,
    /// The branch with the changes, of the remote repository itself
    #[arg(long)]
    branch: BranchName,
    /// The branch they are meant for, whose `[previews]` counts
    #[arg(long, default_value = "main")]
    base: BranchName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let Options { number, branch, base } = options;
    let project = invocation.scope()?.project;
    let request = OpenPreviewRequest { branch, base };
    let target = path(&project, number, "open");
    let answer: DeliveryAnswer = invocation.client()?.call(Method::POST, &target, &request).await?;
    if invocation.global.json {
        output::json(&answer)?;
    }
    match answer {
        DeliveryAnswer::Ignored { reason } if !invocation.global.json => {
            return Err(CliError::new(Exit::Absent, format!("nothing follows: {reason}")));
        }
        DeliveryAnswer::Ignored { .. } => return Ok(Exit::Absent),
        DeliveryAnswer::Started { pipelines, .. } => {
            for id in pipelines {
                output::say(&format!("{id} makes it; follow with `havre ci status {id} --wait`"));
            }
        }
        DeliveryAnswer::Accepted | DeliveryAnswer::Pong => {
            output::say("it is fetched; see `havre preview list` and `havre ci status`");
        }
    }
    Ok(Exit::Ok)
}
