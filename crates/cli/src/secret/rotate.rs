//! `havre secret rotate-keys`: another data key for the project, and everything sealed anew with it.

use havre_api::secret::RotatedKey;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let rotated: RotatedKey = invocation.client()?.post(&format!("/v1/projects/{project}/data-key")).await?;
    if invocation.global.json {
        output::json(&rotated)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!(
        "{project} has a new data key, and {} values are sealed with it; backups made before open with the old one only",
        rotated.values
    ));
    Ok(Exit::Ok)
}
