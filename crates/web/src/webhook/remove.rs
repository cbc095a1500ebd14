//! `DELETE /v1/projects/{project}/webhooks/{provider}`. Tests: `tests/it/webhook.rs`.

use axum::extract::State;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::HookPath;
use crate::state::AppState;

/// Take a webhook away: from now on its deliveries are refused.
#[utoipa::path(delete, path = "/v1/projects/{project}/webhooks/{provider}", tag = "pipeline",
    operation_id = "remove_webhook",
    params(("project" = String, Path, example = "dropit"), ("provider" = String, Path, example = "github")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "`webhook_not_found`")))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(actor): Caller,
    HookPath { project, provider }: HookPath,
) -> Result<StatusCode, Refusal> {
    let removed =
        state.store.write(state.now(), actor, move |tx| tx.remove_webhook(&project, provider.as_str()));
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}
