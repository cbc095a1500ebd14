//! `GET /v1/builds/{build}`. Tests: `tests/it/build.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::build::Build;
use havre_api::error::ErrorBody;

use crate::build::wire;
use crate::error::Refusal;
use crate::extract::BuildPath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// One build.
#[utoipa::path(get, path = "/v1/builds/{build}", tag = "build", operation_id = "get_build",
    params(("build" = String, Path, example = "b4")),
    responses(
        (status = 200, body = Build),
        (status = 404, body = ErrorBody, description = "`build_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    BuildPath(id): BuildPath,
) -> Result<Json<Build>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let (row, place) = lookup::build(view, id)?;
        wire(view, row, place)
    });
    Ok(Json(answer.await?))
}
