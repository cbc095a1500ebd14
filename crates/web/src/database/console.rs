//! `GET .../databases/{database}/console`: the client of the server inside its own task, over a WebSocket. Tests: `tests/it/database.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::database::ConsoleRequest;
use havre_api::error::ErrorBody;

use crate::error::Refusal;
use crate::extract::{DatabasePath, Upgrade};
use crate::state::AppState;
use crate::task::session;
use crate::{lookup, transaction};

/// Talk to a database as its superuser. The protocol is that of `ExecRequest`, with this first frame.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/console",
    tag = "database", operation_id = "database_console",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 101, description = "A WebSocket; its first frame is the request", body = ConsoleRequest),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
    ))]
pub(crate) async fn console(
    State(state): State<AppState>,
    path: DatabasePath,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Refusal> {
    let id = transaction::read(&state, move |view| Ok(lookup::database(view, &path)?.id)).await?;
    session::upgrade(state, upgrade, move |state: AppState, request: ConsoleRequest| async move {
        state.streams.console(id, request).await
    })
}
