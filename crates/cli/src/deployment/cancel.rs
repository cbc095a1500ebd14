//! `havre cancel`: asks deployments or builds to stop; what was live stays live.

use havre_api::build::Build;
use havre_api::deployment::Deployment;
use havre_core::id::{BuildId, DeploymentId};

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Deployments or builds, such as d12 or b4
    #[arg(required = true, value_name = "ID")]
    ids: Vec<Target>,
}

/// What can be cancelled.
#[derive(Debug, Clone, Copy)]
enum Target {
    Deployment(DeploymentId),
    Build(BuildId),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self::Deployment)
            .or_else(|_| text.parse().map(Self::Build))
            .map_err(|_| "neither a deployment such as d12 nor a build such as b4".to_owned())
    }
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    for target in options.ids {
        let (text, body) = match target {
            Target::Deployment(id) => {
                let found: Deployment = client.post(&format!("/v1/deployments/{id}/cancel")).await?;
                let text = format!("{id} of {} should stop; what is live stays live", found.place);
                (text, serde_json::to_value(found))
            }
            Target::Build(id) => {
                let found: Build = client.post(&format!("/v1/builds/{id}/cancel")).await?;
                (format!("{id} of {} should stop", found.place), serde_json::to_value(found))
            }
        };
        if invocation.global.json {
            output::json_line(&body.expect("wire types are always JSON"))?;
        } else {
            output::say(&text);
        }
    }
    Ok(Exit::Ok)
}
