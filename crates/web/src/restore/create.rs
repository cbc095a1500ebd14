//! `POST .../databases/{database}/restores`: a new database out of a snapshot. Tests: `tests/it/restore.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::restore::{CreateRestoreRequest, CreateRestoreResponse};
use havre_core::database::spec::{DATABASES_MAX, DatabaseSpec};
use havre_core::name::ServiceName;
use havre_rescue::line::Recovery;
use havre_rescue::restore::{Point, derive_in_place, derive_recovered, derive_spec, free_name};
use havre_store::{NewRestore, StoreError, View};
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Input};
use crate::restore::{chosen, find_points, find_recovery, wanted, wire_point, wire_restore};
use crate::state::AppState;
use crate::transaction;

/// Restore a snapshot into a new database. The one that was saved stays as it is, also where it is gone: then the new one is a server of the
/// version that was saved. Services use the new one once their configuration says so. One whose data went with the server it was on comes
/// back under its own name.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/restores",
    tag = "restore", operation_id = "create_restore", request_body = CreateRestoreRequest,
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 202, body = CreateRestoreResponse),
        (status = 200, body = CreateRestoreResponse, description = "A dry run"),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `database_not_found` or `snapshot_not_found`"),
        (status = 409, body = ErrorBody, description = "`name_taken` or `too_many_restores`"),
        (status = 422, body = ErrorBody, description = "`spec_invalid` or `backup_unsupported`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Input(request): Input<CreateRestoreRequest>,
) -> Result<(StatusCode, Json<CreateRestoreResponse>), Refusal> {
    if request.dry_run {
        let answer = transaction::read(&state, move |view| Ok(plan(view, &path, request)?.answer()));
        return Ok((StatusCode::OK, Json(answer.await?)));
    }
    let done = transaction::write(&state, actor, move |tx| {
        let plan = plan(tx, &path, request)?;
        let environment = tx.ensure_environment(path.project.clone(), path.environment.clone())?;
        let mut answer = plan.answer();
        let Plan { point, recovery, spec } = plan;
        let restore = tx.create_restore(&NewRestore {
            environment: environment.id,
            source: path.database.clone(),
            spec,
            target: point.target,
            manifest: point.manifest,
            recovery,
        })?;
        answer.dry_run = false;
        answer.restore = Some(wire_restore(restore));
        Ok(answer)
    });
    Ok((StatusCode::ACCEPTED, Json(done.await?)))
}

/// What comes back, and into what.
struct Plan {
    point: Point,
    /// How it comes to its second; absent where a dump comes back.
    recovery: Option<Recovery>,
    spec: DatabaseSpec,
}

impl Plan {
    fn answer(&self) -> CreateRestoreResponse {
        let mut point = wire_point(&self.point);
        if let Some(recovery) = &self.recovery {
            point.at = recovery.at;
        }
        CreateRestoreResponse {
            dry_run: true,
            point,
            database: self.spec.name.clone(),
            server: format!("{} {}", self.spec.engine, self.spec.version),
            restore: None,
        }
    }
}

fn plan(view: &View<'_>, path: &DatabasePath, request: CreateRestoreRequest) -> Result<Plan, Refusal> {
    let CreateRestoreRequest { snapshot, at, name, dry_run: _ } = request;
    let recovered = match (at, &snapshot) {
        (Some(at), None) => find_recovery(view, path, at)?,
        (Some(_), Some(_)) | (None, _) => None,
    };
    let (point, recovery) = match recovered {
        Some((point, recovery)) => (point, Some(recovery)),
        None => (chosen(&find_points(view, path)?, &wanted(snapshot, at)?, path)?, None),
    };
    let source = view.find_database(&path.project, &path.environment, &path.database)?;
    // One whose data is lost comes back under its own name.
    let lost = match &source {
        Some(row) if view.find_loss(row)?.is_some() => Some(&row.spec),
        Some(_) | None => None,
    };
    let lost = lost.filter(|spec| name.as_ref().is_none_or(|name| *name == spec.name));
    let (databases, taken) = taken(view, path)?;
    if databases >= DATABASES_MAX && lost.is_none() {
        let text = format!("an environment has at most {DATABASES_MAX} databases");
        return Err(Refusal::new(Code::SpecInvalid, text));
    }
    let name = match name {
        _ if lost.is_some() => path.database.clone(),
        Some(name) if taken.contains(&ServiceName::from(&name)) => {
            return Err(StoreError::NameTaken { kind: "database or service", name: name.to_string() }.into());
        }
        Some(name) => name,
        None => free_name(&path.database, |name| taken.contains(&ServiceName::from(name))),
    };
    if matches!(name.as_str(), "postgres" | "template0" | "template1") {
        let text = format!("{name} is a database that every PostgreSQL server has by itself");
        return Err(Refusal::new(Code::SpecInvalid, text));
    }
    let (source, version) = (source.as_ref().map(|row| &row.spec), &point.manifest.source_version);
    let spec = match (&recovery, lost) {
        (Some(_), lost) => derive_recovered(source, version, &name).map(|spec| promised(spec, lost)),
        (None, Some(lost)) => derive_in_place(lost, version),
        (None, None) => derive_spec(source, version, &name),
    };
    let spec = spec.map_err(|error| {
        Refusal::new(Code::BackupUnsupported, error.to_string())
            .hint(format!("`havre restore {} --to FILE` gives its bytes out all the same", path.database))
    })?;
    Ok(Plan { point, recovery, spec })
}

/// What was promised of the backups of one that is lost is promised again.
fn promised(spec: DatabaseSpec, lost: Option<&DatabaseSpec>) -> DatabaseSpec {
    DatabaseSpec { backup: lost.and_then(|lost| lost.backup.clone()), ..spec }
}

/// How many databases the environment has, and every name that is taken there.
fn taken(view: &View<'_>, path: &DatabasePath) -> Result<(usize, Vec<ServiceName>), Refusal> {
    let Some(environment) = view.find_environment(&path.project, &path.environment)? else {
        return Ok((0, Vec::new()));
    };
    let databases = view.list_environment_databases(environment.id)?;
    let services = view.list_environment_services(environment.id)?;
    let names = databases.iter().map(|row| ServiceName::from(&row.spec.name));
    let names = names.chain(services.into_iter().map(|service| service.place.service)).collect();
    Ok((databases.len(), names))
}
