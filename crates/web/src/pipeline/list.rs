//! `GET /v1/projects/{project}/pipelines`. Tests: `tests/it/pipeline.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::pipeline::PipelineList;
use havre_api::release::ListQuery;

use crate::error::Refusal;
use crate::extract::{Params, ProjectPath};
use crate::pipeline::wire;
use crate::release::list::limit;
use crate::state::AppState;
use crate::transaction;

/// List the pipelines of a project.
#[utoipa::path(get, path = "/v1/projects/{project}/pipelines", tag = "pipeline", operation_id = "list_pipelines",
    params(("project" = String, Path, example = "dropit"), ListQuery),
    responses((status = 200, body = PipelineList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
    Params(query): Params<ListQuery>,
) -> Result<Json<PipelineList>, Refusal> {
    let limit = limit(&query)?;
    let pipelines = transaction::read(&state, move |view| {
        let rows = view.list_pipelines(&project, limit)?;
        rows.into_iter().map(|row| wire(view, row)).collect()
    });
    Ok(Json(PipelineList { pipelines: pipelines.await? }))
}
