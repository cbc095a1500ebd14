//! `havre scale`: another number of tasks of the live release.

use havre_api::service::{ScaleRequest, ScaleResponse};
use havre_core::name::ServiceName;
use havre_core::service::spec::defaults::REPLICAS_MAX;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service
    service: ServiceName,
    /// Number of tasks, 0 to 50
    #[arg(value_parser = clap::value_parser!(u32).range(0..=i64::from(REPLICAS_MAX)))]
    replicas: u32,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let request = ScaleRequest { replicas: options.replicas, dry_run: options.dry_run };
    let target = scope.service(&options.service, "/scale");
    let response: ScaleResponse = client.call(Method::POST, &target, &request).await?;
    if invocation.global.json {
        output::json(&response)?;
        return Ok(Exit::Ok);
    }
    let verb = if response.dry_run { "would be scaled" } else { "is scaled" };
    output::say(&format!("{} {verb} from {} to {} tasks", options.service, response.from, response.to));
    output::warn(&response.warnings);
    if !response.dry_run {
        output::say("it lasts until `replicas` in havre.toml changes");
    }
    Ok(Exit::Ok)
}
