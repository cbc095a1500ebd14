//! `GET /v1/pipelines/{pipeline}`. Tests: `tests/it/pipeline.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::pipeline::Pipeline;

use crate::error::Refusal;
use crate::extract::PipelinePath;
use crate::pipeline::wire;
use crate::state::AppState;
use crate::transaction;

/// One pipeline with its builds and deployments.
#[utoipa::path(get, path = "/v1/pipelines/{pipeline}", tag = "pipeline", operation_id = "get_pipeline",
    params(("pipeline" = String, Path, example = "i7")),
    responses(
        (status = 200, body = Pipeline),
        (status = 404, body = ErrorBody, description = "`pipeline_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    PipelinePath(id): PipelinePath,
) -> Result<Json<Pipeline>, Refusal> {
    let found = transaction::read(&state, move |view| wire(view, view.get_pipeline(id)?));
    Ok(Json(found.await?))
}
