//! `havre remote show`: where the repository is fetched from; the token is never shown.

use havre_api::remote::Remote;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::remote::path;

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let remote: Remote = invocation.client()?.get(&path(&project)).await?;
    if invocation.global.json {
        output::json(&remote)?;
        return Ok(Exit::Ok);
    }
    let how = if remote.has_token { "with a token" } else { "without a token" };
    output::data(&format!("{} ({how})\n", remote.url))?;
    Ok(Exit::Ok)
}
