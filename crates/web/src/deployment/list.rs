//! `GET .../services/{service}/deployments`. Tests: `tests/it/deployment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::deployment::DeploymentList;
use havre_api::release::ListQuery;

use crate::deployment::wire;
use crate::error::Refusal;
use crate::extract::{Params, ServicePath};
use crate::release::list::limit;
use crate::state::AppState;
use crate::{lookup, transaction};

/// List the deployments of a service.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/deployments",
    tag = "deployment", operation_id = "list_deployments",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ListQuery),
    responses((status = 200, body = DeploymentList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ServicePath(place): ServicePath,
    Params(query): Params<ListQuery>,
) -> Result<Json<DeploymentList>, Refusal> {
    let limit = limit(&query)?;
    let deployments = transaction::read(&state, move |view| {
        let service = lookup::service(view, &place)?;
        let rows = view.list_deployments(service.id, limit)?;
        rows.into_iter().map(|row| wire(view, row, service.place.clone())).collect()
    });
    Ok(Json(DeploymentList { deployments: deployments.await? }))
}
