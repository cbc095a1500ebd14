//! `GET /v1/projects/{project}/environments/{environment}/databases`. Tests: `tests/it/database.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::database::DatabaseList;
use havre_api::error::ErrorBody;

use crate::database::wire;
use crate::error::Refusal;
use crate::extract::EnvironmentPath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// List the databases of an environment.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases", tag = "database",
    operation_id = "list_databases",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production")),
    responses(
        (status = 200, body = DatabaseList),
        (status = 404, body = ErrorBody, description = "`environment_not_found`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    path: EnvironmentPath,
) -> Result<Json<DatabaseList>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let environment = lookup::environment(view, &path.project, &path.environment)?;
        let rows = view.list_environment_databases(environment.id)?;
        let databases = rows.into_iter().map(|row| wire(view, row)).collect::<Result<Vec<_>, _>>()?;
        Ok(DatabaseList { databases })
    });
    Ok(Json(answer.await?))
}
