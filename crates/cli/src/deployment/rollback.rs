//! `havre rollback`: makes an earlier release live again, its configuration included. Tests: `tests/it/follow.rs`.

use havre_api::deployment::{DeploymentAccepted, RollbackRequest};
use havre_api::node::NodeStatus;
use havre_core::id::ReleaseId;
use havre_core::name::ServiceName;
use hyper::Method;

use super::{How, finish};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service; may be left out when the environment has only one
    service: Option<String>,
    /// Release to go back to, such as r6 [default: the last one that succeeded before the live one]
    release: Option<ReleaseId>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

/// `rollback r6` names a release where `rollback api` names a service.
fn names(options: &Options) -> Result<(Option<ServiceName>, Option<ReleaseId>), CliError> {
    match (&options.service, options.release) {
        (Some(text), None) if text.parse::<ReleaseId>().is_ok() => Ok((None, text.parse().ok())),
        (Some(text), release) => {
            let name = text
                .parse()
                .map_err(|error: havre_core::name::NameError| CliError::usage(error.to_string()))?;
            Ok((Some(name), release))
        }
        (None, release) => Ok((None, release)),
    }
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let (service, release) = names(&options)?;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let service = invocation.service(&client, &scope, service).await?;
    let node: NodeStatus = client.get("/v1/status").await?;
    let request = RollbackRequest { release, dry_run: options.dry_run };
    let accepted: DeploymentAccepted =
        client.call(Method::POST, &scope.service(&service, "/rollback"), &request).await?;
    let how = How { detach: options.detach, json: invocation.global.json, after: node.last_event };
    finish(&client, &scope, service, accepted, how).await
}
