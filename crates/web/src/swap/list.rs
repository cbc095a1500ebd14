//! `GET .../databases/{database}/swaps`. Tests: `tests/it/swap.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::swap::SwapList;

use crate::error::Refusal;
use crate::extract::DatabasePath;
use crate::state::AppState;
use crate::swap::wire;
use crate::{lookup, transaction};

/// List the swaps and upgrades of a name, newest first.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/swaps",
    tag = "database", operation_id = "list_swaps",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 200, body = SwapList),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    path: DatabasePath,
) -> Result<Json<SwapList>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let database = lookup::database(view, &path)?;
        let rows = view.list_swaps(database.environment)?.into_iter();
        let rows = rows.filter(|row| row.names.name == path.database || row.is_about(database.id));
        let swaps = rows.map(|row| wire(view, row)).collect::<Result<Vec<_>, _>>()?;
        Ok(SwapList { swaps })
    });
    Ok(Json(answer.await?))
}
