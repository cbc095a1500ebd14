//! `GET /v1/projects/{project}/previews`. Tests: `tests/it/preview.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::preview::PreviewList;

use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::preview::wire;
use crate::state::AppState;

/// List the previews of a project, newest pull request first, closed ones included.
#[utoipa::path(get, path = "/v1/projects/{project}/previews", tag = "pipeline", operation_id = "list_previews",
    params(("project" = String, Path, example = "dropit")),
    responses((status = 200, body = PreviewList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
) -> Result<Json<PreviewList>, Refusal> {
    let previews = state.store.read(move |view| {
        let rows = view.list_previews(&project)?;
        rows.into_iter().map(|row| wire(view, row)).collect()
    });
    Ok(Json(PreviewList { previews: previews.await? }))
}
