//! `havre restart`: fresh tasks of the live release, without a gap.

use havre_api::deployment::{DeploymentAccepted, RestartRequest};
use havre_api::node::NodeStatus;
use havre_core::name::ServiceName;
use hyper::Method;

use super::{How, finish};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service; may be left out when the environment has only one
    service: Option<ServiceName>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let service = invocation.service(&client, &scope, options.service).await?;
    let node: NodeStatus = client.get("/v1/status").await?;
    let request = RestartRequest { dry_run: options.dry_run };
    let accepted: DeploymentAccepted =
        client.call(Method::POST, &scope.service(&service, "/restart"), &request).await?;
    let how = How { detach: options.detach, json: invocation.global.json, after: node.last_event };
    finish(&client, &scope, service, accepted, how).await
}
