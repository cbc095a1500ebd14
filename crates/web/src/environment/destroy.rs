//! `DELETE /v1/projects/{project}/environments/{environment}`: asks for everything in it to go.
//! Tests: `tests/it/destroy.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::database::DestroyedDatabase;
use havre_api::environment::{DestroyQuery, DestroyResponse, DestroyedService};
use havre_api::error::ErrorBody;
use havre_core::id::EnvironmentId;
use havre_store::View;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{EnvironmentPath, Params};
use crate::service::destroy;
use crate::state::AppState;
use crate::{database, lookup, transaction};

/// Destroy an environment with all its services and their data.
#[utoipa::path(delete, path = "/v1/projects/{project}/environments/{environment}", tag = "environment",
    operation_id = "destroy_environment",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        DestroyQuery),
    responses(
        (status = 202, body = DestroyResponse),
        (status = 200, body = DestroyResponse, description = "A dry run"),
        (status = 400, body = ErrorBody, description = "`confirm_missing`"),
    ))]
pub(crate) async fn destroy(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: EnvironmentPath,
    Params(query): Params<DestroyQuery>,
) -> Result<(StatusCode, Json<DestroyResponse>), Refusal> {
    if query.dry_run {
        let services = transaction::read(&state, move |view| {
            let environment = lookup::environment(view, &path.project, &path.environment)?;
            list(view, environment.id)
        });
        let (services, databases) = services.await?;
        return Ok((StatusCode::OK, Json(DestroyResponse { dry_run: true, services, databases })));
    }
    destroy::check_confirmed(&query, path.environment.as_str())?;
    let at = state.now();
    let services = transaction::write(&state, actor, move |tx| {
        let environment = lookup::environment(tx, &path.project, &path.environment)?;
        let gone = list(tx, environment.id)?;
        let services = tx.list_environment_services(environment.id)?;
        let databases = tx.list_environment_databases(environment.id)?;
        if services.is_empty() && databases.is_empty() {
            // Nothing is left for a loop to take down.
            tx.remove_environment(environment.id)?;
        }
        for service in &services {
            tx.request_destroy(service.id, at)?;
        }
        // They stay until the services that use them are gone.
        for row in &databases {
            tx.request_database_destroy(row.id, at)?;
        }
        Ok(gone)
    });
    let (services, databases) = services.await?;
    Ok((StatusCode::ACCEPTED, Json(DestroyResponse { dry_run: false, services, databases })))
}

/// What goes with an environment.
fn list(
    view: &View<'_>,
    id: EnvironmentId,
) -> Result<(Vec<DestroyedService>, Vec<DestroyedDatabase>), Refusal> {
    let services = view.list_environment_services(id)?;
    let services = services.iter().map(|service| destroy::list(view, service)).collect::<Result<_, _>>()?;
    let rows = view.list_environment_databases(id)?;
    let databases = rows.iter().map(|row| database::destroy::list(view, row)).collect::<Result<_, _>>()?;
    Ok((services, databases))
}
