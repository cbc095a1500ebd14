//! `GET .../databases/{database}/tunnel`: holds a tunnel open, over a WebSocket. Tests: `tests/it/tunnel.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::tunnel::TunnelRequest;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{DatabasePath, Upgrade};
use crate::state::AppState;
use crate::task::session;
use crate::{lookup, transaction};

/// Open a tunnel to a database: a role for whoever asks, which is gone when this connection is. The protocol is that of `ExecRequest`, with this
/// first frame; standard output carries one line, a `TunnelGrant`.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/tunnel",
    tag = "database", operation_id = "open_tunnel",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    responses(
        (status = 101, description = "A WebSocket; its first frame is the request", body = TunnelRequest),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 409, body = ErrorBody, description = "`swap_running` or `being_destroyed`"),
    ))]
pub(crate) async fn open(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Refusal> {
    let id = transaction::read(&state, move |view| {
        let row = lookup::database(view, &path)?;
        view.check_not_swapped(&row)?;
        Ok(row.id)
    });
    let id = id.await?;
    session::upgrade(state, upgrade, move |state: AppState, request: TunnelRequest| async move {
        state.streams.open_tunnel(id, actor, request).await
    })
}
