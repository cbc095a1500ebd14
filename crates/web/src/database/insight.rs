//! `GET .../databases/{database}/insight`: what its server says about itself, and what is wrong with it. Tests: `tests/it/database.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::database::DatabaseInsight;
use havre_api::error::ErrorBody;

use crate::error::Refusal;
use crate::extract::DatabasePath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// Look into a database: sizes, connections, memory, what is slow, what has stayed behind. Statements come without their values, commands of
/// Redis and Valkey without their arguments.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/insight",
    tag = "database", operation_id = "get_database_insight",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 200, body = DatabaseInsight),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 409, body = ErrorBody, description = "`task_not_running`"),
        (status = 503, body = ErrorBody, description = "`unavailable`"),
    ))]
pub(crate) async fn insight(
    State(state): State<AppState>,
    path: DatabasePath,
) -> Result<Json<DatabaseInsight>, Refusal> {
    let id = transaction::read(&state, move |view| Ok(lookup::database(view, &path)?.id)).await?;
    Ok(Json(state.streams.insight(id).await?))
}
