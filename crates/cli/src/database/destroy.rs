//! `havre db destroy`: takes a database and its data away for ever. Names what goes and asks; refused while services use it.

use havre_api::database::DestroyDatabaseResponse;
use havre_core::name::DatabaseName;

use super::path;
use crate::environment::destroy::ask;
use crate::exit::{CliError, Exit};
use crate::http::path as http_path;
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let json = invocation.global.json;
    let target = path(&scope, &options.database, "");
    let dry = http_path::query(&target, &[("dry_run", Some(&true))]);
    let plan: DestroyDatabaseResponse = client.delete(&dry).await?;
    let server = output::printable(&plan.database.server);
    let text = format!("- {} ({server})\n    its volume and all data in it is deleted\n", options.database);
    if options.dry_run {
        if json {
            output::json(&plan)?
        } else {
            output::data(&text)?
        }
        return Ok(Exit::Ok);
    }
    output::say(text.trim_end());
    if !options.yes {
        let what =
            format!("{} of {}/{} is destroyed for ever", options.database, scope.project, scope.environment);
        ask(options.database.as_str(), &what)?;
    }
    let confirmed = http_path::query(&target, &[("confirm", Some(&options.database))]);
    let done: DestroyDatabaseResponse = client.delete(&confirmed).await?;
    if json {
        output::json(&done)?;
    } else {
        output::say("destruction has begun. See it with `havre db list`.");
    }
    Ok(Exit::Ok)
}
