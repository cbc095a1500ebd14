//! `havre open`: prints where users find a service, and opens it where there is a browser.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

use havre_api::service::ServiceStatus;
use havre_core::name::ServiceName;

use super::address;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service; may be left out when the environment has only one
    service: Option<ServiceName>,
    /// Only print the address
    #[arg(long)]
    print: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let service = invocation.service(&client, &scope, options.service).await?;
    let status: ServiceStatus = client.get(&scope.service(&service, "")).await?;
    let listeners = address::listeners(&client).await?;
    let urls: Vec<String> = status.spec.routes.iter().map(|route| address::url(route, &listeners)).collect();
    if urls.is_empty() {
        return Err(CliError::new(Exit::Absent, format!("{service} has no public address"))
            .hint("give it `hosts` in havre.toml"));
    }
    if invocation.global.json {
        output::json(&serde_json::json!({ "service": service, "urls": urls }))?;
        return Ok(Exit::Ok);
    }
    for url in &urls {
        output::data(&format!("{url}\n"))?;
    }
    if !options.print && std::io::stdout().is_terminal() {
        browse(&urls[0]);
    }
    Ok(Exit::Ok)
}

/// Where there is no browser, the printed address is the answer.
fn browse(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    drop(started);
}
