//! `havre ci logs`: what the tests and builds of a pipeline said, one after the other. Tests: end to end.

use havre_api::build::BuildLogLine;
use havre_api::pipeline::{Pipeline, PipelinePart};
use havre_core::id::PipelineId;

use crate::exit::{CliError, Exit};
use crate::http::{Client, Line};
use crate::invocation::Invocation;
use crate::output::{self, printable};
use crate::pipeline::{exit, state, wait};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Pipeline, such as i7
    pipeline: PipelineId,
    /// Stay until it has ended; 0 only when it succeeded
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let json = invocation.global.json;
    let target = format!("/v1/pipelines/{}", options.pipeline);
    let mut pipeline: Pipeline = client.get(&target).await?;
    while options.follow && pipeline.parts.is_empty() && !pipeline.state.is_final() {
        tokio::time::sleep(super::LOOK).await;
        pipeline = client.get(&target).await?;
    }
    for part in &pipeline.parts {
        show(&client, part, options.follow, json).await?;
    }
    if options.follow {
        pipeline = wait(&client, options.pipeline).await?;
    }
    output::say(&format!("{} is {}", pipeline.id, printable(&state(&pipeline))));
    Ok(if options.follow { exit(&pipeline) } else { Exit::Ok })
}

async fn show(client: &Client, part: &PipelinePart, follow: bool, json: bool) -> Result<(), CliError> {
    let target = format!("/v1/builds/{}/log?follow={follow}", part.build);
    let mut lines = client.lines(&target).await?;
    let name = super::name(part);
    loop {
        match lines.next().await {
            Line::Object(value) => {
                let Ok(line) = serde_json::from_value::<BuildLogLine>(value) else { continue };
                if json {
                    output::json_line(&serde_json::json!({
                        "service": part.service, "build": part.build, "is_test": part.is_test, "at": line.at, "step": line.step,
                        "text": line.text,
                    }))?;
                } else {
                    let text = printable(&line.text);
                    match line.step.is_empty() {
                        true => output::data(&format!("{name} | {text}\n"))?,
                        false => output::data(&format!("{name} | {}: {text}\n", printable(&line.step)))?,
                    }
                }
            }
            Line::End => return Ok(()),
            Line::Lost(why) => return Err(CliError::new(Exit::Unreachable, why)),
            Line::Refused(error) => return Err(error),
        }
    }
}
