//! `havre secret`: values go in by standard input, never by an argument, where every process of the machine could see them.

pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod provider;
pub(crate) mod remove;
pub(crate) mod reveal;
pub(crate) mod rotate;
pub(crate) mod set;

use std::collections::BTreeMap;

use havre_api::node::NodeStatus;
use havre_api::secret::{SetSecretsRequest, SetSecretsResponse};
use havre_core::name::{EnvKey, EnvironmentName, ProjectName};
use havre_core::secret::value::scope_text;
use hyper::Method;

use crate::deployment::follow::follow;
use crate::deployment::track::Track;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

/// Path in the API.
fn path(project: &ProjectName) -> String {
    format!("/v1/projects/{project}/secrets")
}

/// Path of one secret in the API.
fn secret_path(project: &ProjectName, name: &EnvKey) -> String {
    format!("/v1/projects/{project}/secrets/{name}")
}

/// How to go on once a secret has a new value.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Then {
    /// Leave the new value to the next deployment of each service
    #[arg(long)]
    no_restart: bool,
    /// Give running services the new value, by a restart without a gap; this is what happens anyway
    #[arg(long, conflicts_with = "no_restart")]
    restart: bool,
    /// Do not wait for the end of restarts
    #[arg(long)]
    detach: bool,
}

/// Sets them, says what uses them, and follows the restarts. Without `--env` they are for every environment.
async fn set_all(
    invocation: &Invocation,
    secrets: BTreeMap<EnvKey, String>,
    then: Then,
) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let node: NodeStatus = client.get("/v1/status").await?;
    let environment = invocation.global.environment.clone();
    let request = SetSecretsRequest { environment, secrets, no_restart: then.no_restart && !then.restart };
    let set: SetSecretsResponse = client.call(Method::POST, &path(&scope.project), &request).await?;
    let is_over = then.detach || set.deployments.is_empty();
    if invocation.global.json {
        if is_over {
            output::json(&set)?;
        }
    } else {
        say(&set, request.environment.as_ref(), then);
    }
    if is_over {
        return Ok(Exit::Ok);
    }
    let tracks = set.deployments.iter().map(Track::of_deployment).collect();
    follow(&client, &scope, tracks, node.last_event, invocation.global.json).await
}

fn say(set: &SetSecretsResponse, environment: Option<&EnvironmentName>, then: Then) {
    let scope = scope_text(environment);
    for used in &set.secrets {
        let users: Vec<String> = used.used_by.iter().map(ToString::to_string).collect();
        let users = if users.is_empty() { "no service".to_owned() } else { users.join(", ") };
        output::say(&format!(
            "{} is set {scope} ({}), used by {users}",
            used.secret.name, used.secret.version
        ));
    }
    for name in &set.unchanged {
        output::say(&format!("{name} has this value already"));
    }
    for deployment in &set.deployments {
        output::say(&format!("{} of {} gives its tasks the new value", deployment.id, deployment.place));
    }
    if then.no_restart && set.secrets.iter().any(|used| !used.used_by.is_empty()) {
        output::say(
            "running tasks keep the value they have until the next `havre deploy` or `havre restart`",
        );
    }
}
