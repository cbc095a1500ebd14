//! `havre certificate renew`: a new one now.

use havre_api::certificate::Certificate;

use super::{find, names};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its id, such as c3, or a name it is for
    certificate: String,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let id = find(&client, &options.certificate).await?.id;
    let asked: Certificate = client.post(&format!("/v1/certificates/{id}/renew")).await?;
    if invocation.global.json {
        output::json(&asked)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!(
        "a new certificate for {} is asked for; see `havre certificate show {id}`",
        names(&asked)
    ));
    Ok(Exit::Ok)
}
