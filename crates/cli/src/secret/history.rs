//! `havre secret history`: the versions of one secret that are kept; values are never shown.

use havre_api::secret::SecretHistory;
use havre_core::name::EnvKey;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};
use crate::secret::secret_path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The secret
    name: EnvKey,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let history: SecretHistory = invocation.client()?.get(&secret_path(&project, &options.name)).await?;
    if invocation.global.json {
        output::json(&history)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["VERSION", "ENVIRONMENT", "SET", "BY"])];
    for version in &history.versions {
        let environment = version.environment.as_ref().map_or("(all)".to_owned(), ToString::to_string);
        let set = time::ago(version.set_at, now);
        let number = version.version.to_string();
        rows.push(table::row([&number, &environment, &set, &version.set_by.to_string()]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
