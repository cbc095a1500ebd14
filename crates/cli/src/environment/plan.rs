//! `havre plan`: what `havre.toml` would change on the server. Changes nothing.

use havre_api::environment::{ApplyRequest, ApplyResponse};
use hyper::Method;

use super::change;
use crate::exit::{CliError, Exit};
use crate::invocation::{Invocation, Scope};
use crate::output;
use crate::output::style::Style;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Show what --prune of `havre apply` would destroy
    #[arg(long)]
    prune: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let response = request(invocation, true, options.prune).await?;
    show(&response, invocation.global.json)
}

/// Sends the whole of `havre.toml`.
pub(super) async fn request(
    invocation: &Invocation,
    dry_run: bool,
    prune: bool,
) -> Result<ApplyResponse, CliError> {
    let project = invocation.manifest()?;
    let scope = Scope { project: project.manifest.project().clone(), environment: invocation.environment() };
    let services =
        project.manifest.resolve(&scope.environment).map_err(|error| CliError::usage(error.to_string()))?;
    let databases = project.manifest.databases(&scope.environment);
    let request = ApplyRequest { services, databases, dry_run, prune };
    invocation.client()?.call(Method::PUT, &scope.path(), &request).await
}

/// Shows the answer.
pub(super) fn show(response: &ApplyResponse, json: bool) -> Result<Exit, CliError> {
    if json {
        output::json(response)?;
        return Ok(Exit::Ok);
    }
    output::data(&change::render(response, Style::stdout()))?;
    output::warn(&response.warnings);
    Ok(Exit::Ok)
}
