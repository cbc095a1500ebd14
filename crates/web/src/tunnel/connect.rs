//! `GET /v1/tunnels/{tunnel}/connection`: one connection to the server, over a WebSocket. Tests: `tests/it/tunnel.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::tunnel::TunnelConnection;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{TunnelPath, Upgrade};
use crate::state::AppState;
use crate::task::session;

/// Connect to a database through a tunnel that the same caller holds open. The protocol is that of `ExecRequest`, with this first frame.
#[utoipa::path(get, path = "/v1/tunnels/{tunnel}/connection", tag = "database", operation_id = "connect_tunnel",
    params(("tunnel" = String, Path, example = "n5")),
    responses(
        (status = 101, description = "A WebSocket; its first frame is the request", body = TunnelConnection),
        (status = 429, body = ErrorBody, description = "`too_many_streams`"),
    ))]
pub(crate) async fn connect(
    State(state): State<AppState>,
    Caller(actor): Caller,
    TunnelPath(id): TunnelPath,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Refusal> {
    session::upgrade(state, upgrade, move |state: AppState, _request: TunnelConnection| async move {
        state.streams.connect_tunnel(id, actor).await
    })
}
