//! `GET .../volumes/{volume}/points`. Tests: `tests/it/volume.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::RestorePointList;

use super::find_points;
use crate::error::Refusal;
use crate::extract::VolumePath;
use crate::restore::wire_point;
use crate::state::AppState;
use crate::transaction;

/// List the points in time to which a volume can be brought back, also one that is gone. Rows are entries.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/volumes/{volume}/points",
    tag = "restore", operation_id = "list_volume_points",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ("volume" = String, Path, example = "uploads")),
    responses(
        (status = 200, body = RestorePointList),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `service_not_found`"),
    ))]
pub(crate) async fn points(
    State(state): State<AppState>,
    path: VolumePath,
) -> Result<Json<RestorePointList>, Refusal> {
    let points = transaction::read(&state, move |view| find_points(view, &path)).await?;
    Ok(Json(RestorePointList { points: points.iter().map(wire_point).collect(), line: Vec::new() }))
}
