//! Deployments: start them, follow them to their end, go back, restart, cancel.

pub(crate) mod cancel;
pub(crate) mod deploy;
pub(crate) mod feed;
pub(crate) mod follow;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod screen;
pub(crate) mod track;

use havre_api::deployment::{DeploymentAccepted, DeploymentPlan};
use havre_core::name::ServiceName;

use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::invocation::Scope;
use crate::output;
use crate::output::style::Style;

/// What a plan looks like.
pub(crate) fn plan_text(service: &ServiceName, plan: &DeploymentPlan, style: Style) -> String {
    let shown =
        |release: Option<havre_core::id::ReleaseId>| release.map_or("nothing".to_owned(), |r| r.to_string());
    let to = plan.to.map_or("a new release".to_owned(), |release| release.to_string());
    let mut text = format!("{}: {} -> {to}\n", style.strong(service.as_str()), shown(plan.from));
    for (index, step) in plan.steps.iter().enumerate() {
        text.push_str(&format!("  {}. {}\n", index + 1, output::printable(step)));
    }
    text
}

/// Shows what was accepted and, unless asked not to, follows it to its end.
pub(crate) async fn finish(
    client: &Client,
    scope: &Scope,
    service: ServiceName,
    accepted: DeploymentAccepted,
    how: How,
) -> Result<Exit, CliError> {
    if !how.json {
        output::warn(&accepted.plan.warnings);
    }
    let deployment = match &accepted.deployment {
        Some(deployment) if !how.detach => deployment,
        _ => {
            if how.json {
                output::json(&accepted)?;
            } else if let Some(deployment) = &accepted.deployment {
                output::data(&format!("{}\n", deployment.id))?;
            } else {
                output::data(&plan_text(&service, &accepted.plan, Style::stdout()))?;
            }
            return Ok(Exit::Ok);
        }
    };
    let track = track::Track::of_deployment(deployment);
    follow::follow(client, scope, vec![track], how.after, how.json).await
}

/// How to go on after something was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Do not wait.
    pub(crate) detach: bool,
    /// Machine-readable.
    pub(crate) json: bool,
    /// Events behind this one belong to it.
    pub(crate) after: u64,
}
