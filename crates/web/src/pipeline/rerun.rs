//! `POST /v1/pipelines/{pipeline}/rerun`: the same commit again. Tests: `tests/it/pipeline.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::pipeline::Pipeline;
use havre_core::pipeline::Cause;
use havre_store::NewPipeline;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::PipelinePath;
use crate::pipeline::wire;
use crate::state::AppState;
use crate::transaction;

/// Build and deploy the commit of a pipeline once more.
#[utoipa::path(post, path = "/v1/pipelines/{pipeline}/rerun", tag = "pipeline", operation_id = "rerun_pipeline",
    params(("pipeline" = String, Path, example = "i7")),
    responses(
        (status = 202, body = Pipeline),
        (status = 404, body = ErrorBody, description = "`pipeline_not_found`"),
    ))]
pub(crate) async fn rerun(
    State(state): State<AppState>,
    Caller(actor): Caller,
    PipelinePath(id): PipelinePath,
) -> Result<(StatusCode, Json<Pipeline>), Refusal> {
    let by = actor.clone();
    let answer = transaction::write(&state, actor, move |tx| {
        let earlier = tx.get_pipeline(id)?;
        let new = tx.create_pipeline(NewPipeline {
            project: earlier.project,
            environment: earlier.environment,
            reference: earlier.reference,
            commit: earlier.commit,
            subject: earlier.subject,
            author: earlier.author,
            cause: Cause::Rerun { of: id, by },
        })?;
        wire(tx, new)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
