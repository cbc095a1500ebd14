//! `GET .../databases/{database}`. Tests: `tests/it/database.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::database::Database;
use havre_api::error::ErrorBody;

use crate::database::wire;
use crate::error::Refusal;
use crate::extract::DatabasePath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// One database.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}",
    tag = "database", operation_id = "get_database",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 200, body = Database),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    path: DatabasePath,
) -> Result<Json<Database>, Refusal> {
    let answer = transaction::read(&state, move |view| wire(view, lookup::database(view, &path)?));
    Ok(Json(answer.await?))
}
