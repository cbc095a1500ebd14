//! `PUT /v1/projects/{project}/environments/{environment}`: makes desired state what the request says, all of it or
//! nothing. Tests: `tests/it/environment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::environment::{Action, ApplyRequest, ApplyResponse};
use havre_api::error::ErrorBody;
use havre_store::Tx;

use crate::access::gate::Caller;
use crate::environment::{change, rule};
use crate::error::Refusal;
use crate::extract::{EnvironmentPath, Input};
use crate::state::AppState;
use crate::transaction;

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
    rule::check(&request.services)?;
    rule::check_name(&path.environment)?;
    if request.dry_run {
        let changes =
            transaction::read(&state, move |view| change::list(view, &path, &request).map(|c| (c, request)));
        let (changes, request) = changes.await?;
        let warnings = rule::warnings(&request, &changes);
        return Ok(Json(ApplyResponse { dry_run: true, changes, warnings }));
    }
    let at = state.now();
    let answer = transaction::write(&state, actor, move |tx| write(tx, &path, request, at)).await?;
    Ok(Json(answer))
}

fn write(
    tx: &mut Tx<'_>,
    path: &EnvironmentPath,
    request: ApplyRequest,
    at: havre_core::time::Timestamp,
) -> Result<ApplyResponse, Refusal> {
    let mut changes = change::list(tx, path, &request)?;
    let warnings = rule::warnings(&request, &changes);
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
    for (service, _) in tx.apply_services(environment.id, request.services)? {
        if let Some(change) = changes.iter_mut().find(|change| change.service == service.place.service) {
            change.revision = Some(service.revision);
        }
    }
    Ok(ApplyResponse { dry_run: false, changes, warnings })
}
