//! `POST .../databases/{database}/drills`: tries the newest backup of a database. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::Drill;
use havre_core::backup::policy::of_database;
use havre_decide::backup::restore::{Wanted, derive_spec};
use havre_store::NewDrill;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::DatabasePath;
use crate::restore::{chosen, find_points, wire_drill};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Try whether the newest backup of a database restores: into a server without a network, which is compared and thrown away.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/drills",
    tag = "restore", operation_id = "create_drill",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 202, body = Drill),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `database_not_found` or `snapshot_not_found`"),
        (status = 409, body = ErrorBody, description = "`drill_running`"),
        (status = 422, body = ErrorBody, description = "`backup_unsupported`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
) -> Result<(StatusCode, Json<Drill>), Refusal> {
    let answer = transaction::write(&state, actor, move |tx| {
        let row = lookup::database(tx, &path)?;
        let points = find_points(tx, &path)?;
        let point = chosen(&points, &Wanted::Newest, &path)?;
        // The same server, or a newer one where the backup is of a newer one.
        let spec = derive_spec(Some(&row.spec), &point.manifest.source_version, &row.spec.name);
        let spec = spec.map_err(|error| Refusal::new(Code::BackupUnsupported, error.to_string()))?;
        let image = if spec.version == row.spec.version { row.image.clone() } else { None };
        let drill = tx.create_drill(&NewDrill {
            environment_id: row.environment,
            project: path.project.clone(),
            environment: path.environment.clone(),
            database: path.database.clone(),
            target: point.target,
            manifest: point.manifest,
            spec,
            image,
            assertions: of_database(&row).map(|policy| policy.assertions.clone()).unwrap_or_default(),
            is_scheduled: false,
        })?;
        Ok(wire_drill(drill))
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}
