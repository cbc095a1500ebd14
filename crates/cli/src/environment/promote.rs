//! `havre promote`: an environment gets what another one runs, by digest and with its own configuration. Tests at the end of the
//! file.

use std::fmt::Write as _;

use havre_api::node::NodeStatus;
use havre_api::promotion::{PromoteRequest, PromoteResponse};
use havre_core::name::{EnvironmentName, ServiceName};
use hyper::Method;

use crate::deployment::follow::follow;
use crate::deployment::track::Track;
use crate::exit::{CliError, Exit};
use crate::invocation::{Invocation, Scope};
use crate::output;
use crate::output::style::Style;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Environment whose artifacts are taken
    from: EnvironmentName,
    /// Environment that gets them
    to: EnvironmentName,
    /// Only this service, also one whose configuration names an image; may be repeated
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<ServiceName>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let Options { from, to, services, dry_run, detach } = options;
    let scope = Scope { project: invocation.scope()?.project, environment: to };
    let client = invocation.client()?;
    let node: NodeStatus = client.get("/v1/status").await?;
    let request = PromoteRequest { from, services, dry_run };
    let path = format!("{}/promote", scope.path());
    let answer: PromoteResponse = client.call(Method::POST, &path, &request).await?;
    let json = invocation.global.json;
    if json && (dry_run || detach) {
        output::json(&answer)?;
        return Ok(Exit::Ok);
    }
    if dry_run {
        output::data(&render(&answer, Style::stdout()))?;
        output::warn(&answer.warnings);
        output::say("nothing was changed (--dry-run)");
        return Ok(Exit::Ok);
    }
    output::say(render(&answer, Style::stderr()).trim_end());
    output::warn(&answer.warnings);
    let deployments = answer.promoted.iter().filter_map(|one| one.deployment.as_ref());
    if detach {
        for deployment in deployments {
            output::data(&format!("{} {}\n", deployment.place.service, deployment.id))?;
        }
        return Ok(Exit::Ok);
    }
    let tracks: Vec<Track> = deployments.map(Track::of_deployment).collect();
    follow(&client, &scope, tracks, node.last_event, json).await
}

fn render(answer: &PromoteResponse, style: Style) -> String {
    let PromoteResponse { from, to, promoted, skipped, .. } = answer;
    let mut text = String::new();
    for one in promoted {
        let name = style.strong(one.service.as_str());
        let before = one.before.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        write!(text, "{name}: {before} -> {}, {} of {from}", one.artifact, one.source)
            .expect("a string takes everything");
        if !one.commit.is_empty() {
            let commit: String = one.commit.chars().take(10).collect();
            write!(text, ", commit {}", output::printable(&commit)).expect("a string takes everything");
        }
        if let Some(deployment) = &one.deployment {
            write!(text, " ({} of {})", deployment.id, deployment.release)
                .expect("a string takes everything");
        }
        text.push('\n');
    }
    if promoted.is_empty() {
        writeln!(text, "nothing to promote from {from} to {to}").expect("a string takes everything");
    }
    for one in skipped {
        let line = format!("{}: left out: {}", one.service, output::printable(&one.text));
        writeln!(text, "{}", style.dim(&line)).expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(letter: &str) -> serde_json::Value {
        serde_json::json!({ "kind": "image", "id": format!("sha256:{}", letter.repeat(64)), "pull": null })
    }

    #[test]
    fn a_plan() {
        let answer: PromoteResponse = serde_json::from_value(serde_json::json!({
            "dry_run": true, "from": "staging", "to": "production", "warnings": [],
            "promoted": [
                { "service": "api", "source": "r7", "commit": "0123456789abcdef", "before": image("a"), "artifact": image("b") },
                { "service": "web", "source": "r8", "commit": "", "before": null, "artifact": image("c") },
            ],
            "skipped": [{ "service": "db", "reason": "same_already", "text": "same already" }],
        }))
        .expect("is a body");
        insta::assert_snapshot!(render(&answer, Style::plain()), @r"
        api: image aaaaaaaaaaaa -> image bbbbbbbbbbbb, r7 of staging, commit 0123456789
        web: nothing -> image cccccccccccc, r8 of staging
        db: left out: same already
        ");
    }

    #[test]
    fn nothing_is_said_too() {
        let answer = PromoteResponse {
            dry_run: true,
            from: "staging".parse().expect("is a name"),
            to: "production".parse().expect("is a name"),
            promoted: Vec::new(),
            skipped: Vec::new(),
            warnings: Vec::new(),
        };
        assert_eq!(render(&answer, Style::plain()), "nothing to promote from staging to production\n");
    }
}
