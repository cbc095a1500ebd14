//! `havre db upgrade`: a database becomes one of a newer major version. The old server stays, under another name. Followed like a swap.

use havre_api::swap::SwapRequest;
use havre_core::name::{DatabaseName, TargetName};

use super::swap::{How, begin};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
    /// Major version it is upgraded to
    #[arg(long, value_name = "VERSION")]
    to: u8,
    /// Backup target of the backup it is made of [default: the first of its policy]
    #[arg(long, value_name = "NAME")]
    target: Option<TargetName>,
    #[command(flatten)]
    how: How,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let Options { database, to, target, how } = options;
    let request = SwapRequest { version: Some(to), target, ..SwapRequest::default() };
    begin(invocation, &database, request, &how).await
}
