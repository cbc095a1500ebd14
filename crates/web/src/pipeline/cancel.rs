//! `POST /v1/pipelines/{pipeline}/cancel`: closes it with its builds; deployments on their way are asked to stop, and the
//! pipeline ends as they end. Tests: `tests/it/pipeline.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::pipeline::Pipeline;
use havre_core::build::State as BuildState;
use havre_core::id::PipelineId;
use havre_core::pipeline;
use havre_core::time::Timestamp;
use havre_store::Tx;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::PipelinePath;
use crate::pipeline::wire;
use crate::state::AppState;
use crate::transaction;

/// Cancel a pipeline that has not ended.
#[utoipa::path(post, path = "/v1/pipelines/{pipeline}/cancel", tag = "pipeline", operation_id = "cancel_pipeline",
    params(("pipeline" = String, Path, example = "i7")),
    responses(
        (status = 202, body = Pipeline),
        (status = 404, body = ErrorBody, description = "`pipeline_not_found`"),
        (status = 409, body = ErrorBody, description = "`already_over`"),
    ))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Caller(actor): Caller,
    PipelinePath(id): PipelinePath,
) -> Result<(StatusCode, Json<Pipeline>), Refusal> {
    let at = state.now();
    let answer = transaction::write(&state, actor, move |tx| close(tx, id, at));
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

fn close(tx: &mut Tx<'_>, id: PipelineId, at: Timestamp) -> Result<Pipeline, Refusal> {
    let row = tx.get_pipeline(id)?;
    if row.state.is_final() {
        let message = format!("{id} is over already: it is {}", row.state.name());
        return Err(
            Refusal::new(Code::AlreadyOver, message).hint("`havre rollback` goes back to an earlier release")
        );
    }
    let mut is_deploying = false;
    for build in tx.list_pipeline_builds(id)? {
        match build.state {
            BuildState::Succeeded { deployment, .. } => {
                is_deploying = true;
                tx.request_cancel(deployment)?;
            }
            ref open if !open.is_final() => {
                tx.set_build_state(build.id, open, BuildState::Cancelled { at })?;
            }
            _ => {}
        }
    }
    if !is_deploying {
        tx.set_pipeline_state(id, &row.state, pipeline::State::Cancelled { at })?;
    }
    let row = tx.get_pipeline(id)?;
    wire(tx, row)
}
