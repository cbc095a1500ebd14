//! `havre secret provider remove`: forgets a provider with its credential.

use havre_core::name::ProviderName;
use havre_core::secret::value::scope_text;

use crate::exit::{CliError, Exit};
use crate::http::path::query;
use crate::invocation::Invocation;
use crate::output;
use crate::secret::provider::provider_path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The provider; of one environment with --env, else the one for every environment
    name: ProviderName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let environment = invocation.global.environment.as_ref();
    let asked = environment.map(|environment| environment as &dyn std::fmt::Display);
    let path = query(&provider_path(&project, &options.name), &[("environment", asked)]);
    let () = invocation.client()?.delete(&path).await?;
    let scope = scope_text(environment);
    output::say(&format!("{} is removed {scope}; releases keep the values it gave them", options.name));
    Ok(Exit::Ok)
}
