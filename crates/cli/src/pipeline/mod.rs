//! `havre ci`: pipelines, which follow from pushes.

pub(crate) mod cancel;
pub(crate) mod logs;
pub(crate) mod rerun;
pub(crate) mod status;

use std::time::Duration;

use havre_api::pipeline::{Pipeline, PipelinePart, StatusReport};
use havre_core::id::PipelineId;
use havre_core::pipeline::State;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::output::{self, time};

/// How often a pipeline that is waited for is asked about.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for the end of a pipeline, saying each state once.
async fn wait(client: &Client, id: PipelineId) -> Result<Pipeline, CliError> {
    let mut said = "";
    loop {
        let pipeline: Pipeline = client.get(&format!("/v1/pipelines/{id}")).await?;
        if pipeline.state.is_final() {
            return Ok(pipeline);
        }
        if said != pipeline.state.name() {
            said = pipeline.state.name();
            output::say(&format!("{id} is {}", said.replace('_', " ")));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = tokio::signal::ctrl_c() => {
                return Err(CliError::new(Exit::Interrupted, format!("{id} goes on; cancel it with `havre ci cancel {id}`")));
            }
        }
    }
}

/// The exit code a script wants: only a success is one.
fn exit(pipeline: &Pipeline) -> Exit {
    match pipeline.state {
        State::Succeeded { .. } => Exit::Ok,
        _ => Exit::Failed,
    }
}

/// State and reason on one line.
fn state(pipeline: &Pipeline) -> String {
    match &pipeline.state {
        State::Failed { stage, reason, .. } => format!("failed ({}): {reason}", stage.name()),
        State::Superseded { by, .. } => format!("superseded by {by}"),
        other => other.name().replace('_', " "),
    }
}

/// What a forge was told of a pipeline, on one line.
pub(crate) fn told(report: &StatusReport, now: Timestamp) -> String {
    let mut text = match (report.told, report.told_at) {
        (Some(status), Some(at)) => format!("forge told {status}, {}", time::ago(at, now)),
        _ => "forge not told yet".to_owned(),
    };
    if let Some(reason) = &report.reason {
        let next = match report.next_at {
            Some(_) => "tried again",
            None => "given up",
        };
        text.push_str(&format!("; what came after was refused, {next}: {reason}"));
    }
    text
}

/// A part as people call it: `api`, `api (test)`.
fn name(part: &PipelinePart) -> String {
    if part.is_test { format!("{} (test)", part.service) } else { part.service.to_string() }
}
