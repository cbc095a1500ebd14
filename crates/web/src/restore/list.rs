//! `GET .../databases/{database}/restores`. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::release::ListQuery;
use havre_api::restore::RestoreList;

use crate::error::Refusal;
use crate::extract::{DatabasePath, Params};
use crate::release::list::limit;
use crate::restore::{what, wire_restore};
use crate::state::AppState;

/// List the restores of a database, also of one that is gone.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/restores",
    tag = "restore", operation_id = "list_restores",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db"), ListQuery),
    responses(
        (status = 200, body = RestoreList),
        (status = 400, body = ErrorBody, description = "`query_invalid`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    path: DatabasePath,
    Params(query): Params<ListQuery>,
) -> Result<Json<RestoreList>, Refusal> {
    let (limit, key) = (limit(&query)?, what(&path).key());
    let rows = state.store.read(move |view| view.list_restores(&key, limit)).await?;
    Ok(Json(RestoreList { restores: rows.into_iter().map(wire_restore).collect() }))
}
