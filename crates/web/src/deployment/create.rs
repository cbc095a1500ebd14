//! `POST .../services/{service}/deployments`: makes something that is built already live.
//! Tests: `tests/it/deployment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::deployment::{CreateDeploymentRequest, DeploymentAccepted};
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::deployment::request::{self, Wanted};
use crate::error::Refusal;
use crate::extract::{Input, ServicePath};
use crate::state::AppState;

/// Deploy a release, the live release again, or its artifact with today's configuration.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/deployments",
    tag = "deployment", operation_id = "create_deployment",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    request_body = CreateDeploymentRequest,
    responses(
        (status = 202, body = DeploymentAccepted),
        (status = 200, body = DeploymentAccepted, description = "A dry run"),
        (status = 404, body = ErrorBody, description = "`service_not_found` or `release_not_found`"),
        (status = 409, body = ErrorBody, description = "`nothing_live`, `already_live`, `build_needed` or `being_destroyed`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ServicePath(place): ServicePath,
    Input(body): Input<CreateDeploymentRequest>,
) -> Result<(StatusCode, Json<DeploymentAccepted>), Refusal> {
    request::handle(&state, actor, place, Wanted::Source(body.source), body.dry_run).await
}
