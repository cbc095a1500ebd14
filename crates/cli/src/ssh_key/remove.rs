//! `havre ssh-key remove`: it stops to work at once.

use havre_core::name::SshKeyName;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::ssh_key::PATH;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of the key
    name: SshKeyName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let () = invocation.client()?.delete(&format!("{PATH}/{}", options.name)).await?;
    output::say(&format!("the key {} is removed; a push that has begun still ends", options.name));
    Ok(Exit::Ok)
}
