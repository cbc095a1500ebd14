//! `GET .../databases/{database}/copies`. Tests: `tests/it/copy.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::copy::CopyList;
use havre_api::error::ErrorBody;

use crate::copy::wire;
use crate::error::Refusal;
use crate::extract::DatabasePath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// List the copies into a database, newest first.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/copies",
    tag = "copy", operation_id = "list_copies",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "staging"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 200, body = CopyList),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    path: DatabasePath,
) -> Result<Json<CopyList>, Refusal> {
    let answer = transaction::read(&state, move |view| {
        let database = lookup::database(view, &path)?;
        let rows = view.list_copies(database.id)?;
        let copies = rows.into_iter().map(|row| wire(view, row)).collect::<Result<Vec<_>, _>>()?;
        Ok(CopyList { copies })
    });
    Ok(Json(answer.await?))
}
