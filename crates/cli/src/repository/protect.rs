//! `havre repository protect` and `unprotect`: whether a push may remove and rewrite a branch.

use havre_api::repository::{ProtectRequest, ProtectResponse};
use havre_core::source::BranchName;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::repository::path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The branch, such as main; it need not be there yet
    branch: BranchName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options, on: bool) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let path = format!("{}/protection", path(&project));
    let request = ProtectRequest { branch: options.branch, on };
    let set: ProtectResponse = invocation.client()?.call(Method::PUT, &path, &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    let branch = &set.branch;
    output::say(&match (set.was_on, set.on) {
        (false, true) => format!("{branch} of {project} is protected: no push can remove or rewrite it"),
        (true, false) => format!("{branch} of {project} is no longer protected"),
        (true, true) => format!("{branch} of {project} was protected already"),
        (false, false) => format!("{branch} of {project} was not protected"),
    });
    Ok(Exit::Ok)
}
