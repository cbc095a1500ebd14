//! `GET .../services/{service}/run`: a one-off task beside the running ones, over a WebSocket. Tests: `tests/it/task.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::task::RunRequest;

use crate::error::Refusal;
use crate::extract::{ServicePath, Upgrade};
use crate::state::AppState;
use crate::task::session;
use crate::{lookup, transaction};

/// Run a command in a one-off task. The protocol is described with `RunRequest`.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/run",
    tag = "task", operation_id = "run_command",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    responses(
        (status = 101, description = "A WebSocket; its first frame is the request", body = RunRequest),
        (status = 404, body = ErrorBody, description = "`service_not_found`"),
    ))]
pub(crate) async fn run(
    State(state): State<AppState>,
    ServicePath(place): ServicePath,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Refusal> {
    let service = transaction::read(&state, move |view| Ok(lookup::usable_service(view, &place)?.id)).await?;
    session::upgrade(state, upgrade, move |state: AppState, request: RunRequest| async move {
        state.streams.run(service, request).await
    })
}
