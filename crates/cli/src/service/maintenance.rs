//! `havre maintenance on|off`: users get a page instead of a service, without a deployment.

use havre_api::service::{MaintenanceRequest, MaintenanceResponse};
use havre_core::name::ServiceName;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service or site; may be left out when the environment has only one
    service: Option<ServiceName>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options, on: bool) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let service = invocation.service(&client, &scope, options.service).await?;
    let target = scope.service(&service, "/maintenance");
    let response: MaintenanceResponse =
        client.call(Method::POST, &target, &MaintenanceRequest { on }).await?;
    if invocation.global.json {
        output::json(&response)?;
        return Ok(Exit::Ok);
    }
    match (&response.bypass, response.was_on) {
        (Some(secret), was_on) => {
            let again = if was_on { "; the secret before does not pass any more" } else { "" };
            output::say(&format!("{service} is in maintenance: users get a page (503){again}"));
            output::say(
                "to see it yourself, send this header, or the cookie havre_bypass; shown this one time:",
            );
            output::data(&format!("Havre-Bypass: {secret}\n"))?;
        }
        (None, true) => output::say(&format!("{service} is served again")),
        (None, false) => output::say(&format!("{service} was not in maintenance")),
    }
    Ok(Exit::Ok)
}
