//! `PUT /v1/projects/{project}/environments/{environment}`: makes desired state what the request says, all of it or
//! nothing. Tests: `tests/it/environment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::environment::{Action, ApplyRequest, ApplyResponse};
use havre_api::error::ErrorBody;
use havre_store::{Tx, View};

use crate::access::gate::Caller;
use crate::environment::{change, rule};
use crate::error::Refusal;
use crate::extract::{EnvironmentPath, Input};
use crate::state::AppState;
use crate::{database, transaction};

/// Apply the configuration of a whole environment, atomically.
#[utoipa::path(put, path = "/v1/projects/{project}/environments/{environment}", tag = "environment",
    operation_id = "apply_environment",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production")),
    request_body = ApplyRequest,
    responses(
        (status = 200, body = ApplyResponse),
        (status = 409, body = ErrorBody, description = "`route_taken`, `other_kind` or `being_destroyed`"),
        (status = 422, body = ErrorBody, description = "`spec_invalid`"),
    ))]
pub(crate) async fn apply(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: EnvironmentPath,
    Input(request): Input<ApplyRequest>,
) -> Result<Json<ApplyResponse>, Refusal> {
    rule::check(&request)?;
    rule::check_name(&path.environment)?;
    if request.dry_run {
        let answer = transaction::read(&state, move |view| plan(view, &path, &request)).await?;
        return Ok(Json(answer));
    }
    let at = state.now();
    let answer = transaction::write(&state, actor, move |tx| write(tx, &path, request, at)).await?;
    Ok(Json(answer))
}

/// What would change.
fn plan(view: &View<'_>, path: &EnvironmentPath, request: &ApplyRequest) -> Result<ApplyResponse, Refusal> {
    let changes = change::list(view, path, request)?;
    let databases = database::change::list(view, path, request)?;
    let mut warnings = rule::warnings(request, &changes);
    warnings.extend(database::change::warnings(&databases));
    Ok(ApplyResponse { dry_run: true, changes, databases, warnings })
}

fn write(
    tx: &mut Tx<'_>,
    path: &EnvironmentPath,
    request: ApplyRequest,
    at: havre_core::time::Timestamp,
) -> Result<ApplyResponse, Refusal> {
    let ApplyResponse { mut changes, databases, warnings, .. } = plan(tx, path, &request)?;
    let environment = tx.ensure_environment(path.project.clone(), path.environment.clone())?;
    // Destroyed ones first: they free their routes for the others.
    for service in tx.list_environment_services(environment.id)? {
        let goes = |change: &havre_api::environment::Change| {
            change.service == service.place.service && change.action == Action::Destroyed
        };
        if changes.iter().any(goes) {
            tx.request_destroy(service.id, at)?;
        }
    }
    for spec in &request.databases {
        tx.apply_database(environment.id, spec)?;
    }
    for (service, _) in tx.apply_services(environment.id, request.services)? {
        if let Some(change) = changes.iter_mut().find(|change| change.service == service.place.service) {
            change.revision = Some(service.revision);
        }
    }
    Ok(ApplyResponse { dry_run: false, changes, databases, warnings })
}
