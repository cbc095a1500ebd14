//! `havre build secret remove`: builds that ask for it fail from now on.

use havre_core::name::BuildSecretName;

use crate::build::secret::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its name
    name: BuildSecretName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let () = invocation.client()?.delete(&path(&project, &options.name)).await?;
    output::say(&format!(
        "{} of {project} is forgotten; builds that ask for it fail before they start",
        options.name
    ));
    Ok(Exit::Ok)
}
