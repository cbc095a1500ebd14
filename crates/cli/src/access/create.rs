//! `havre token create`: the secret is shown this one time.

use havre_api::access::{CreateTokenRequest, CreateTokenResponse};
use havre_core::name::TokenName;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name it is known and revoked by, such as ci
    name: TokenName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let request = CreateTokenRequest { name: options.name };
    let made: CreateTokenResponse = client.call(Method::POST, "/v1/tokens", &request).await?;
    if invocation.global.json {
        output::json(&made)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!("token {} ({}), shown this one time:", made.name, made.id));
    output::data(&format!("{}\n", made.token))?;
    Ok(Exit::Ok)
}
