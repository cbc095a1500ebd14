//! `DELETE .../services/{service}`: asks for a service and its data to go. Tests: `tests/it/destroy.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::environment::{DestroyQuery, DestroyResponse, DestroyedService};
use havre_api::error::ErrorBody;
use havre_core::service::Service;
use havre_store::View;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Params, ServicePath};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Destroy a service and its data.
#[utoipa::path(delete, path = "/v1/projects/{project}/environments/{environment}/services/{service}",
    tag = "service", operation_id = "destroy_service",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), DestroyQuery),
    responses(
        (status = 202, body = DestroyResponse),
        (status = 200, body = DestroyResponse, description = "A dry run"),
        (status = 400, body = ErrorBody, description = "`confirm_missing`"),
    ))]
pub(crate) async fn destroy(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ServicePath(place): ServicePath,
    Params(query): Params<DestroyQuery>,
) -> Result<(StatusCode, Json<DestroyResponse>), Refusal> {
    if query.dry_run {
        let gone = transaction::read(&state, move |view| list(view, &lookup::service(view, &place)?)).await?;
        return Ok((
            StatusCode::OK,
            Json(DestroyResponse { dry_run: true, services: vec![gone], databases: Vec::new() }),
        ));
    }
    check_confirmed(&query, place.service.as_str())?;
    let at = state.now();
    let gone = transaction::write(&state, actor, move |tx| {
        let service = lookup::service(tx, &place)?;
        let gone = list(tx, &service)?;
        tx.request_destroy(service.id, at)?;
        Ok(gone)
    });
    let services = vec![gone.await?];
    let answer = DestroyResponse { dry_run: false, services, databases: Vec::new() };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// What goes with a service.
pub(crate) fn list(view: &View<'_>, service: &Service) -> Result<DestroyedService, Refusal> {
    let releases = view.list_releases(service.id, 1000)?;
    // Volumes of earlier releases still exist, whatever today's configuration says, and so do those of restores.
    let volumes = view.list_volumes(service)?.iter().map(ToString::to_string).collect();
    Ok(DestroyedService {
        service: service.place.service.clone(),
        routes: service.spec.routes.iter().map(ToString::to_string).collect(),
        volumes,
        releases: releases.len() as u64,
        tasks: view.list_tasks(service.id)?.len() as u64,
    })
}

/// Refuses a destruction whose target was not named a second time.
pub(crate) fn check_confirmed(query: &DestroyQuery, name: &str) -> Result<(), Refusal> {
    if query.confirm.as_deref() == Some(name) {
        return Ok(());
    }
    Err(Refusal::new(Code::ConfirmMissing, format!("to destroy `{name}`, its name must be given again"))
        .hint(format!("look at `?dry_run=true` first, then send `?confirm={name}`")))
}
