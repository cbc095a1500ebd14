//! `GET .../services/{service}/exec`: a command inside a running task, over a WebSocket. Tests: `tests/it/task.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::task::ExecRequest;

use crate::error::Refusal;
use crate::extract::{ServicePath, Upgrade};
use crate::state::AppState;
use crate::task::session;
use crate::{lookup, transaction};

/// Run a command inside a running task. The protocol is described with `ExecRequest`.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/exec",
    tag = "task", operation_id = "exec_command",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    responses(
        (status = 101, description = "A WebSocket; its first frame is the request", body = ExecRequest),
        (status = 404, body = ErrorBody, description = "`service_not_found`"),
    ))]
pub(crate) async fn exec(
    State(state): State<AppState>,
    ServicePath(place): ServicePath,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Refusal> {
    let service = transaction::read(&state, move |view| Ok(lookup::usable_service(view, &place)?.id)).await?;
    session::upgrade(state, upgrade, move |state: AppState, request: ExecRequest| async move {
        state.streams.exec(service, request).await
    })
}
