//! `GET .../databases/{database}/points`. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::{RestoreInterval, RestorePointList};
use havre_rescue::line::intervals;

use crate::error::Refusal;
use crate::extract::DatabasePath;
use crate::restore::{find_points, line, wire_point};
use crate::state::AppState;
use crate::transaction;

/// List the points in time to which a database can be brought back, also one that is gone; and where its WAL is kept, the time of which every
/// second can be.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/points",
    tag = "restore", operation_id = "list_restore_points",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 200, body = RestorePointList),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
    ))]
pub(crate) async fn points(
    State(state): State<AppState>,
    path: DatabasePath,
) -> Result<Json<RestorePointList>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let (bases, stretches) = line(view, &path)?;
        let line = intervals(&bases, &stretches).into_iter();
        let line = line.map(|one| RestoreInterval { from: one.from, until: one.until }).collect();
        Ok(RestorePointList { points: find_points(view, &path)?.iter().map(wire_point).collect(), line })
    });
    Ok(Json(answer.await?))
}
