//! `GET .../services/{service}`: what is wanted and what runs. Tests: `tests/it/environment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::service::ServiceStatus;

use crate::error::Refusal;
use crate::extract::ServicePath;
use crate::service::status::{self, Edges};
use crate::state::AppState;
use crate::{lookup, transaction};

/// State of one service.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}", tag = "service",
    operation_id = "get_service",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    responses(
        (status = 200, body = ServiceStatus),
        (status = 404, body = ErrorBody, description = "`service_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    ServicePath(place): ServicePath,
) -> Result<Json<ServiceStatus>, Refusal> {
    let edges = Edges::of(&state);
    let answer = transaction::read(&state, move |view| {
        let service = lookup::service(view, &place)?;
        status::derive(view, service, &edges)
    });
    Ok(Json(answer.await?))
}
