//! `havre secret reveal`: the value of one secret on standard output. The server tells who asked.

use havre_api::secret::{RevealSecretRequest, RevealedSecret};
use havre_core::name::EnvKey;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::secret::secret_path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The secret; of one environment with --env, else the value for every environment
    name: EnvKey,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let request = RevealSecretRequest { environment: invocation.global.environment.clone() };
    let path = format!("{}/reveal", secret_path(&project, &options.name));
    let revealed: RevealedSecret = invocation.client()?.call(Method::POST, &path, &request).await?;
    if invocation.global.json {
        output::json(&revealed)?;
    } else {
        output::data(&format!("{}\n", revealed.value))?;
    }
    Ok(Exit::Ok)
}
