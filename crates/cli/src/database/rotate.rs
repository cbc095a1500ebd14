//! `havre db rotate`: new passwords for the services that use a database. Each is deployed again; connections of before go on until then.

use havre_api::database::Database;
use havre_core::name::DatabaseName;

use super::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let target = path(&scope, &options.database, "/rotate");
    let database: Database = invocation.client()?.post(&target).await?;
    if invocation.global.json {
        output::json(&database)?;
        return Ok(Exit::Ok);
    }
    let users: Vec<&str> = database.users.iter().map(|name| name.as_str()).collect();
    if users.is_empty() {
        output::say("no service uses it: nothing to change");
    } else {
        output::say(&format!("new passwords for {}; they are deployed again", users.join(", ")));
        output::say("see it with `havre status`, and the old roles go with `havre db info`");
    }
    Ok(Exit::Ok)
}
