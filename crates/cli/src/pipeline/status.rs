//! `havre ci status`: the pipelines of a project, or one of them. Tests at the end of the file.

use havre_api::pipeline::{Pipeline, PipelineList, PipelinePart, PipelineStage};
use havre_core::id::PipelineId;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output::{self, printable, table, time};
use crate::pipeline::{exit, name, state, told, wait};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One pipeline, such as i7 [default: the newest ones of the project]
    pipeline: Option<PipelineId>,
    /// Wait for its end; 0 only when it succeeded
    #[arg(long, requires = "pipeline")]
    wait: bool,
    /// Most entries
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let json = invocation.global.json;
    let Some(id) = options.pipeline else {
        let scope = invocation.scope()?;
        let target = format!("/v1/projects/{}/pipelines", scope.project);
        let list: PipelineList =
            client.get(&path::query(&target, &[("limit", Some(&options.limit))])).await?;
        match json {
            true => output::json(&list)?,
            false => output::data(&render(&list.pipelines, time::now()))?,
        }
        return Ok(Exit::Ok);
    };
    let pipeline = match options.wait {
        true => wait(&client, id).await?,
        false => client.get(&format!("/v1/pipelines/{id}")).await?,
    };
    match json {
        true => output::json(&pipeline)?,
        false => output::data(&render_one(&pipeline, time::now()))?,
    }
    Ok(if options.wait { exit(&pipeline) } else { Exit::Ok })
}

fn render(pipelines: &[Pipeline], now: Timestamp) -> String {
    let mut rows =
        vec![table::row(["PIPELINE", "STATE", "ASKED FOR", "ENVIRONMENT", "BRANCH", "COMMIT", "SUBJECT"])];
    for pipeline in pipelines {
        let reference = pipeline.reference.as_str();
        rows.push(table::row([
            &pipeline.id.to_string(),
            &pipeline.state.name().replace('_', " "),
            &time::ago(pipeline.created_at, now),
            pipeline.environment.as_str(),
            reference.strip_prefix("refs/heads/").unwrap_or(reference),
            &pipeline.commit.as_str()[..10],
            &pipeline.subject.chars().take(50).collect::<String>(),
        ]));
    }
    table::columns(&rows)
}

fn render_one(pipeline: &Pipeline, now: Timestamp) -> String {
    let mut text = format!(
        "{} of {}/{}: {}\n{} {} by {}, {}\n",
        pipeline.id,
        pipeline.project,
        pipeline.environment,
        printable(&state(pipeline)),
        pipeline.commit.short(),
        printable(&pipeline.subject),
        printable(&pipeline.author),
        time::ago(pipeline.created_at, now),
    );
    if let Some(report) = &pipeline.status {
        text.push_str(&format!("{}\n", printable(&told(report, now))));
    }
    if !pipeline.stages.is_empty() {
        let stages: Vec<String> = pipeline.stages.iter().map(|stage| of_stage(stage, now)).collect();
        text.push_str(&format!("{}\n", stages.join(", ")));
    }
    for one in &pipeline.untouched {
        text.push_str(&format!("{} was left as it is: {}\n", one.service, printable(&one.reason)));
    }
    if pipeline.parts.is_empty() {
        return text;
    }
    let mut rows = vec![table::row(["SERVICE", "BUILD", "", "TOOK", "CACHED", "DEPLOYMENT", ""])];
    for part in &pipeline.parts {
        let deployment = part.deployment.map(|id| id.to_string()).unwrap_or_default();
        rows.push(table::row([
            &name(part),
            &part.build.to_string(),
            &part.build_state,
            &took(part, now),
            &part.steps.map(|steps| format!("{} of {}", steps.cached, steps.total)).unwrap_or_default(),
            &deployment,
            part.deployment_state.as_deref().unwrap_or_default(),
        ]));
    }
    text.push_str(&table::columns(&rows));
    text
}

/// `build 1m04s`; one under way so far.
fn of_stage(stage: &PipelineStage, now: Timestamp) -> String {
    let took = time::length(stage.until.unwrap_or(now).since(stage.since));
    match stage.until {
        Some(_) => format!("{} {took}", stage.stage.name()),
        None => format!("{} {took} so far", stage.stage.name()),
    }
}

/// How long a part has worked.
fn took(part: &PipelinePart, now: Timestamp) -> String {
    let Some(since) = part.started_at else { return String::new() };
    time::length(part.ended_at.unwrap_or(now).since(since))
}

#[cfg(test)]
mod tests {
    use havre_api::pipeline::StatusReport;
    use havre_core::pipeline::status::CommitStatus;

    use super::*;

    fn pipeline(id: &str, state: serde_json::Value) -> Pipeline {
        serde_json::from_value(serde_json::json!({
            "id": id, "project": "dropit", "environment": "production", "reference": "refs/heads/main",
            "commit": "0123456789abcdef0123456789abcdef01234567", "subject": "Say \u{1b}[1mhello", "author": "Ada",
            "cause": { "kind": "push", "by": { "kind": "local" } }, "state": state,
            "stages": [
                { "stage": "checkout", "since": "2026-11-24T11:59:00Z", "until": "2026-11-24T11:59:01.200Z" },
                { "stage": "test", "since": "2026-11-24T11:59:01.200Z", "until": null },
            ],
            "untouched": [{ "service": "web", "reason": "nothing has changed" }],
            "parts": [
                { "service": "api", "is_test": true, "build": "b3", "build_state": "passed",
                    "started_at": "2026-11-24T11:59:10Z", "ended_at": "2026-11-24T11:59:22.500Z" },
                { "service": "api", "build": "b4", "build_state": "succeeded", "deployment": "d12",
                    "deployment_state": "failed", "started_at": "2026-11-24T11:59:30Z", "ended_at": "2026-11-24T11:59:31Z",
                    "steps": { "total": 7, "cached": 5 } },
            ],
            "created_at": "2026-11-24T11:59:00Z",
        }))
        .expect("is a body")
    }

    #[test]
    fn lists_and_one() {
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        let at = "2026-11-24T11:59:30Z";
        let failed = pipeline(
            "i2",
            serde_json::json!({ "state": "failed", "at": at, "stage": "deploy", "reason": "deployment d12 failed" }),
        );
        let list = [pipeline("i3", serde_json::json!({ "state": "checking_out", "since": at })), failed];
        insta::assert_snapshot!(render(&list, now), @r"
        PIPELINE  STATE         ASKED FOR  ENVIRONMENT  BRANCH  COMMIT      SUBJECT
        i3        checking out  1m ago     production   main    0123456789  Say �[1mhello
        i2        failed        1m ago     production   main    0123456789  Say �[1mhello
        ");
        insta::assert_snapshot!(render_one(&list[1], now), @r"
        i2 of dropit/production: failed (deploy): deployment d12 failed
        0123456789ab Say �[1mhello by Ada, 1m ago
        checkout 1.2s, test 58.8s so far
        web was left as it is: nothing has changed
        SERVICE     BUILD             TOOK   CACHED  DEPLOYMENT
        api (test)  b3     passed     12.5s
        api         b4     succeeded  1.0s   5 of 7  d12         failed
        ");
    }

    #[test]
    fn what_the_forge_was_told() {
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        let mut one = pipeline("i2", serde_json::json!({ "state": "queued" }));
        one.parts.clear();
        one.untouched.clear();
        one.stages.clear();
        let mut report =
            StatusReport { pipeline: one.id, told: None, told_at: None, reason: None, next_at: None };
        let mut last = |report: &StatusReport| {
            one.status = Some(report.clone());
            render_one(&one, now).lines().last().unwrap_or_default().to_owned()
        };
        assert_eq!(last(&report), "forge not told yet");
        report.told = Some(CommitStatus::Pending);
        report.told_at = Timestamp::parse("2026-11-24T11:59:30Z").ok();
        assert_eq!(last(&report), "forge told pending, 30s ago");
        report.reason = Some("no \u{1b}answer".to_owned());
        assert_eq!(
            last(&report),
            "forge told pending, 30s ago; what came after was refused, given up: no \u{fffd}answer"
        );
        report.next_at = Some(now);
        assert!(last(&report).contains("refused, tried again: "));
    }
}
