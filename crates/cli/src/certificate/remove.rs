//! `havre certificate remove`: a certificate and its key. One that services want is ordered again.

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
    let found = find(&client, &options.certificate).await?;
    let () = client.delete(&format!("/v1/certificates/{}", found.id)).await?;
    output::say(&format!("certificate {} for {} is removed", found.id, names(&found)));
    if found.is_wanted && found.source.as_str() == "automatic" {
        output::say("services want its names: it is ordered again");
    }
    Ok(Exit::Ok)
}
