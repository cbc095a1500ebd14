//! `havre secret provider`: who keeps values outside of Havre. Credentials go in by standard input, never by an argument.

mod add;
mod list;
mod remove;
mod test;

use havre_core::name::{ProjectName, ProviderName};

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

/// What is done with providers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Set one, for every environment or with --env for one; what proves who asks comes from standard input
    Add(add::Options),
    /// List them, without credentials
    List,
    /// Ask one whether it answers and takes the credential; with a place also whether it has a value there, which is not shown
    Test(test::Options),
    /// Forget one; releases keep the values it gave them
    Remove(remove::Options),
}

pub(crate) async fn run(invocation: &Invocation, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Add(options) => add::run(invocation, options).await,
        Command::List => list::run(invocation).await,
        Command::Test(options) => test::run(invocation, options).await,
        Command::Remove(options) => remove::run(invocation, options).await,
    }
}

/// Path in the API.
fn path(project: &ProjectName) -> String {
    format!("/v1/projects/{project}/secret-providers")
}

/// Path of one provider in the API.
fn provider_path(project: &ProjectName, name: &ProviderName) -> String {
    format!("{}/{name}", path(project))
}
