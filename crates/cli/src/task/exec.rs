//! `havre exec`: a command inside a running task. Tests: `tests/it/session.rs`.

use std::collections::BTreeMap;

use havre_api::task::ExecRequest;
use havre_core::id::TaskId;
use havre_core::name::{EnvKey, ServiceName};
use havre_core::service::spec::Argv;

use super::command::{self, Input};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service
    service: ServiceName,
    /// In this task, such as t3 [default: the oldest healthy one]
    #[arg(long)]
    task: Option<TaskId>,
    /// Environment variable KEY=VALUE; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = command::parse_variable)]
    variables: Vec<(EnvKey, String)>,
    /// Without a terminal, even where there is one
    #[arg(long)]
    no_tty: bool,
    /// The command, after --; no shell reads it
    #[arg(last = true, required = true, value_name = "COMMAND")]
    argv: Vec<String>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let argv = Argv::try_from(options.argv).map_err(|error| CliError::usage(error.to_string()))?;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let terminal = command::terminal(options.no_tty);
    let env: BTreeMap<EnvKey, String> = options.variables.into_iter().collect();
    let request = ExecRequest { argv, task: options.task, terminal, env };
    let session = client.session(&scope.service(&options.service, "/exec"), &request).await?;
    let input = if terminal.is_some() { Input::Terminal } else { Input::Bytes };
    command::hold(session, input).await
}
