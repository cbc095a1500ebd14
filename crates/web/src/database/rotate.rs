//! `POST .../databases/{database}/rotate`: new passwords for the services that use it, without a gap. Tests: `tests/it/database.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::database::Database;
use havre_api::error::ErrorBody;
use havre_core::database::RoleState;
use havre_store::StoreError;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::database::wire;
use crate::error::Refusal;
use crate::extract::DatabasePath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// Give every service that uses a database a new password. Each gets a second role beside the one it has; once the database knows it, the
/// live release of the service is deployed again, and when no task of before is left, the old role is locked.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/rotate",
    tag = "database", operation_id = "rotate_database",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 202, body = Database),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 409, body = ErrorBody, description = "`rotation_running`, `swap_running` or `being_destroyed`"),
    ))]
pub(crate) async fn rotate(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
) -> Result<(StatusCode, Json<Database>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let row = lookup::database(tx, &path)?;
        if row.state.is_destroying() {
            return Err(StoreError::BeingDestroyed { place: row.place() }.into());
        }
        tx.check_not_swapped(&row)?;
        for role in tx.list_database_roles(row.id)? {
            match role.state {
                RoleState::Made => drop(tx.add_database_role(&row, &role.name.service)?),
                // One that is still to be made gets its password only now.
                RoleState::Wanted | RoleState::Replaced { .. } => {}
            }
        }
        wire(tx, row)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
