//! `havre token revoke`: it stops to work at once.

use havre_core::name::TokenName;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of the token
    name: TokenName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let () = invocation.client()?.delete(&format!("/v1/tokens/{}", options.name)).await?;
    output::say(&format!("token {} is revoked", options.name));
    Ok(Exit::Ok)
}
