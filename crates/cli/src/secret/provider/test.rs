//! `havre secret provider test`: whether a deployment would get its values. Shows none.

use havre_api::secret_provider::{TestSecretProviderRequest, TestedSecretProvider};
use havre_core::name::ProviderName;
use havre_decide::secret::provider::reference::Location;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::secret::provider::provider_path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The provider; of one environment with --env, else the one for every environment
    name: ProviderName,
    /// The place of a value, as a reference has it after the colon, such as secret/data/app#password
    place: Option<Location>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let environment = invocation.global.environment.clone();
    let request = TestSecretProviderRequest { environment, location: options.place };
    let path = format!("{}/test", provider_path(&project, &options.name));
    let tested: TestedSecretProvider = invocation.client()?.call(Method::POST, &path, &request).await?;
    if invocation.global.json {
        output::json(&tested)?;
        return Ok(if tested.is_good { Exit::Ok } else { Exit::Failed });
    }
    let text = format!("{}: {}", options.name, tested.text);
    if !tested.is_good {
        return Err(CliError::new(Exit::Failed, text));
    }
    output::say(&text);
    Ok(Exit::Ok)
}
