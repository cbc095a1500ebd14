//! Pipelines: read about, repeated and cancelled here; made by pushes and moved on by the loops.

pub mod cancel;
pub mod get;
pub mod list;
pub mod rerun;

use havre_api::pipeline::{PipelinePart, PipelineStage, StatusReport, UntouchedService};
use havre_core::build::State as BuildState;
use havre_core::pipeline::{Pipeline, StageTime, Untouched};
use havre_store::{StatusRow, View};

use crate::error::Refusal;

/// The wire form.
pub(crate) fn wire(view: &View<'_>, row: Pipeline) -> Result<havre_api::pipeline::Pipeline, Refusal> {
    let mut parts = Vec::new();
    for build in view.list_pipeline_builds(row.id)? {
        let deployment = match &build.state {
            BuildState::Succeeded { deployment, .. } => Some(view.get_deployment(*deployment)?),
            _ => None,
        };
        let report = build.report;
        parts.push(PipelinePart {
            service: build.spec.name.clone(),
            is_test: build.is_test(),
            build: build.id,
            build_state: build.state.name().to_owned(),
            started_at: report.started_at,
            ended_at: report.ended_at,
            steps: (!report.steps.is_empty()).then(|| report.steps.into()),
            deployment: deployment.as_ref().map(|deployment| deployment.id),
            deployment_state: deployment.map(|deployment| deployment.state.name().to_owned()),
        });
    }
    let stage = |StageTime { stage, since, until }| PipelineStage { stage, since, until };
    let untouched = |Untouched { service, reason }| UntouchedService { service, reason };
    Ok(havre_api::pipeline::Pipeline {
        id: row.id,
        project: row.project,
        environment: row.environment,
        reference: row.reference,
        commit: row.commit,
        subject: row.subject,
        author: row.author,
        cause: row.cause,
        state: row.state,
        stages: row.stages.into_iter().map(stage).collect(),
        parts,
        untouched: row.untouched.into_iter().map(untouched).collect(),
        status: view.find_status(row.id)?.map(report),
        created_at: row.created_at,
    })
}

/// The wire form of what a forge was told.
pub(crate) fn report(row: StatusRow) -> StatusReport {
    StatusReport {
        pipeline: row.pipeline,
        told: row.memory.told,
        told_at: row.told_at,
        reason: row.reason,
        next_at: row.memory.next_at,
    }
}
