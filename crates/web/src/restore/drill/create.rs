//! `POST .../databases/{database}/drills`: tries the newest dump of a database, or its base backup and WAL. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::{CreateDrillQuery, Drill};
use havre_core::backup::policy::of_database;
use havre_core::database::Database;
use havre_rescue::aim::Pick;
use havre_rescue::drill::Method;
use havre_rescue::restore::{SpecError, Wanted, derive_spec};
use havre_store::{NewDrill, View};
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Params};
use crate::restore::{chosen, find_points, wire_drill};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Try whether a database comes back: into a server without a network, which is compared and thrown away. From its newest dump, or from its base
/// backup and WAL to the newest second there is.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/drills",
    tag = "restore", operation_id = "create_drill",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db"), CreateDrillQuery),
    responses(
        (status = 202, body = Drill),
        (status = 400, body = ErrorBody, description = "`query_invalid`"),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `database_not_found` or `snapshot_not_found`"),
        (status = 409, body = ErrorBody, description = "`drill_running`"),
        (status = 422, body = ErrorBody, description = "`backup_unsupported`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Params(query): Params<CreateDrillQuery>,
    path: DatabasePath,
) -> Result<(StatusCode, Json<Drill>), Refusal> {
    let method = query.method.unwrap_or(Method::Dump);
    let answer = transaction::write(&state, actor, move |tx| {
        let row = lookup::database(tx, &path)?;
        let new = match method {
            Method::Dump => of_dump(tx, &row, &path)?,
            Method::PointInTime => of_line(tx, &row)?,
        };
        Ok(wire_drill(tx.create_drill(&new)?))
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

fn unsupported(error: &SpecError) -> Refusal {
    Refusal::new(Code::BackupUnsupported, error.to_string())
}

fn of_dump(view: &View<'_>, row: &Database, path: &DatabasePath) -> Result<NewDrill, Refusal> {
    let points = find_points(view, path)?;
    let point = chosen(&points, &Wanted::Newest, path)?;
    // The same server, or a newer one where the backup is of a newer one.
    let spec = derive_spec(Some(&row.spec), &point.manifest.source_version, &row.spec.name);
    let spec = spec.map_err(|error| unsupported(&error))?;
    let image = if spec.version == row.spec.version { row.image.clone() } else { None };
    Ok(NewDrill {
        environment_id: row.environment,
        project: path.project.clone(),
        environment: path.environment.clone(),
        database: path.database.clone(),
        target: point.target,
        manifest: point.manifest,
        spec,
        image,
        assertions: of_database(row).map(|policy| policy.assertions.clone()).unwrap_or_default(),
        aim: None,
        is_scheduled: false,
    })
}

fn of_line(view: &View<'_>, row: &Database) -> Result<NewDrill, Refusal> {
    let name = &row.spec.name;
    let Some(found) = view.find_aim(row, Pick::Newest)? else {
        let text =
            format!("{name}: no second of it can be brought back: there is no base backup with its WAL");
        return Err(Refusal::new(Code::SnapshotNotFound, text).hint(format!(
            "say `point_in_time` in its `backup` in havre.toml, then `havre backup run {name} --base`"
        )));
    };
    NewDrill::of_line(row, found, false).map_err(|error| unsupported(&error))
}
