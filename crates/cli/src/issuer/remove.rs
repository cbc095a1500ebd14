//! `havre issuer remove`.

use havre_core::name::IssuerName;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of the issuer
    name: IssuerName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let () = invocation.client()?.delete(&format!("/v1/issuers/{}", options.name)).await?;
    output::say(&format!("issuer {} is removed; certificates it signed are served on", options.name));
    Ok(Exit::Ok)
}
