//! `havre remote remove`: forgets address and token; what was fetched stays.

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::remote::path;

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let () = invocation.client()?.delete(&path(&project)).await?;
    output::say(&format!("the remote repository of {project} is forgotten; what was fetched stays"));
    Ok(Exit::Ok)
}
