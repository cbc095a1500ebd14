//! `POST .../services/{service}/rollback`: an earlier release again, its configuration included.
//! Tests: `tests/it/deployment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::deployment::{DeploymentAccepted, RollbackRequest};
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::deployment::request::{self, Wanted};
use crate::error::Refusal;
use crate::extract::{Input, ServicePath};
use crate::state::AppState;

/// Go back to an earlier release.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/rollback",
    tag = "deployment", operation_id = "rollback_service",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    request_body = RollbackRequest,
    responses(
        (status = 202, body = DeploymentAccepted),
        (status = 200, body = DeploymentAccepted, description = "A dry run"),
        (status = 409, body = ErrorBody, description = "`nothing_live`, `nothing_to_roll_back_to` or `already_live`"),
    ))]
pub(crate) async fn rollback(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ServicePath(place): ServicePath,
    Input(body): Input<RollbackRequest>,
) -> Result<(StatusCode, Json<DeploymentAccepted>), Refusal> {
    request::handle(&state, actor, place, Wanted::Earlier(body.release), body.dry_run).await
}
