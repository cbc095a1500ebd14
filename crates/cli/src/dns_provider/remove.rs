//! `havre dns-provider remove`.

use havre_core::name::DnsName;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The zone
    zone: DnsName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let () = invocation.client()?.delete(&format!("/v1/dns-providers/{}", options.zone)).await?;
    output::say(&format!("the DNS provider of {} is forgotten", options.zone));
    Ok(Exit::Ok)
}
