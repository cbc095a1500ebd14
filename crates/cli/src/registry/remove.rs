//! `havre registry remove`: forgets user and password; what was pulled stays.

use havre_core::registry::RegistryHost;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::registry::path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The registry
    host: RegistryHost,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let () = invocation.client()?.delete(&path(&options.host)).await?;
    output::say(&format!("images of {} are pulled without credentials; what was pulled stays", options.host));
    Ok(Exit::Ok)
}
