//! `POST .../services/{service}/restart`: fresh tasks of the live release, without an interruption.
//! Tests: `tests/it/deployment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::deployment::{DeploymentAccepted, RestartRequest, Source};
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::deployment::request::{self, Wanted};
use crate::error::Refusal;
use crate::extract::{Input, ServicePath};
use crate::state::AppState;

/// Replace every task of the live release by a fresh one.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/restart",
    tag = "deployment", operation_id = "restart_service",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    request_body = RestartRequest,
    responses(
        (status = 202, body = DeploymentAccepted),
        (status = 200, body = DeploymentAccepted, description = "A dry run"),
        (status = 409, body = ErrorBody, description = "`nothing_live` or `not_scalable`"),
    ))]
pub(crate) async fn restart(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ServicePath(place): ServicePath,
    Input(body): Input<RestartRequest>,
) -> Result<(StatusCode, Json<DeploymentAccepted>), Refusal> {
    request::handle(&state, actor, place, Wanted::Source(Source::Live), body.dry_run).await
}
