//! `havre db console`, and `havre db psql`: the client of the server inside its own task, as its superuser. No port is opened for it.

use havre_api::database::ConsoleRequest;
use havre_core::name::DatabaseName;

use super::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::task::command::{self, Input};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
    /// Without a terminal, even where there is one
    #[arg(long)]
    no_tty: bool,
    /// Further words for psql, mariadb or redis-cli, after --
    #[arg(last = true, value_name = "ARGUMENT")]
    args: Vec<String>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let terminal = command::terminal(options.no_tty);
    let request = ConsoleRequest { args: options.args, terminal };
    let session = client.session(&path(&scope, &options.database, "/console"), &request).await?;
    let input = if terminal.is_some() { Input::Terminal } else { Input::Bytes };
    command::hold(session, input).await
}
