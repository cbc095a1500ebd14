//! `havre run`: a command in a one-off task of its own, removed when it ends or when we leave. The server gives such a
//! task neither a terminal nor standard input. Tests: `tests/it/session.rs`.

use std::collections::BTreeMap;

use havre_api::task::RunRequest;
use havre_core::id::ReleaseId;
use havre_core::name::{EnvKey, ServiceName};
use havre_core::service::spec::Argv;

use super::command::{self, Input};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service whose image and configuration it gets
    service: ServiceName,
    /// Of this release, such as r7 [default: the live one]
    #[arg(long)]
    release: Option<ReleaseId>,
    /// Environment variable KEY=VALUE; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = command::parse_variable)]
    variables: Vec<(EnvKey, String)>,
    /// The command, after --; no shell reads it
    #[arg(last = true, required = true, value_name = "COMMAND")]
    argv: Vec<String>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let argv = Argv::try_from(options.argv).map_err(|error| CliError::usage(error.to_string()))?;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let env: BTreeMap<EnvKey, String> = options.variables.into_iter().collect();
    let request = RunRequest { argv, release: options.release, terminal: None, env };
    let session = client.session(&scope.service(&options.service, "/run"), &request).await?;
    command::hold(session, Input::Nothing).await
}
