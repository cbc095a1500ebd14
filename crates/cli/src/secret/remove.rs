//! `havre secret remove`: forgets a secret with its versions.

use havre_core::name::EnvKey;
use havre_core::secret::value::scope_text;

use crate::exit::{CliError, Exit};
use crate::http::path::query;
use crate::invocation::Invocation;
use crate::output;
use crate::secret::secret_path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The secret; of one environment with --env, else the value for every environment
    name: EnvKey,
    /// Also while services use it: their tasks cannot be started again without it
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let environment = invocation.global.environment.as_ref();
    let asked = environment.map(|environment| environment as &dyn std::fmt::Display);
    let path = query(
        &secret_path(&project, &options.name),
        &[("environment", asked), ("force", Some(&options.force))],
    );
    let () = invocation.client()?.delete(&path).await?;
    output::say(&format!("{} is removed {}, with its versions", options.name, scope_text(environment)));
    Ok(Exit::Ok)
}
