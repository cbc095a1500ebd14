//! `DELETE .../databases/{database}`: asks for a database and its data to go; refused while services use it. Tests: `tests/it/database.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::database::{DestroyDatabaseResponse, DestroyedDatabase};
use havre_api::environment::DestroyQuery;
use havre_api::error::ErrorBody;
use havre_core::database::Database;
use havre_store::{StoreError, View};
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{DatabasePath, Params};
use crate::service::destroy::check_confirmed;
use crate::state::AppState;
use crate::{lookup, transaction};

/// Destroy a database and its data.
#[utoipa::path(delete, path = "/v1/projects/{project}/environments/{environment}/databases/{database}",
    tag = "database", operation_id = "destroy_database",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db"), DestroyQuery),
    responses(
        (status = 202, body = DestroyDatabaseResponse),
        (status = 200, body = DestroyDatabaseResponse, description = "A dry run"),
        (status = 400, body = ErrorBody, description = "`confirm_missing`"),
        (status = 409, body = ErrorBody, description = "`database_in_use` or `swap_running`"),
    ))]
pub(crate) async fn destroy(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Params(query): Params<DestroyQuery>,
) -> Result<(StatusCode, Json<DestroyDatabaseResponse>), Refusal> {
    if query.dry_run {
        let answer = transaction::read(&state, move |view| list(view, &lookup::database(view, &path)?));
        let database = answer.await?;
        return Ok((StatusCode::OK, Json(DestroyDatabaseResponse { dry_run: true, database })));
    }
    check_confirmed(&query, path.database.as_str())?;
    let at = state.now();
    let answer = transaction::write(&state, actor, move |tx| {
        let row = lookup::database(tx, &path)?;
        tx.check_not_swapped(&row)?;
        let gone = list(tx, &row)?;
        // Of one whose data is lost nobody uses anything: an empty one may be made in its place.
        if !gone.users.is_empty() && tx.find_loss(&row)?.is_none() {
            return Err(StoreError::DatabaseInUse { place: row.place(), users: gone.users }.into());
        }
        tx.request_database_destroy(row.id, at)?;
        Ok(gone)
    });
    let database = answer.await?;
    Ok((StatusCode::ACCEPTED, Json(DestroyDatabaseResponse { dry_run: false, database })))
}

/// What goes with a database.
pub(crate) fn list(view: &View<'_>, row: &Database) -> Result<DestroyedDatabase, Refusal> {
    Ok(DestroyedDatabase {
        database: row.spec.name.clone(),
        server: format!("{} {}", row.spec.engine, row.spec.version),
        users: view.list_database_users(row)?.into_iter().collect(),
    })
}
