//! `GET /v1/projects/{project}/webhooks`. Tests: `tests/it/webhook.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::webhook::{Webhook, WebhookList};

use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::state::AppState;

/// List the webhooks of a project, without their secrets.
#[utoipa::path(get, path = "/v1/projects/{project}/webhooks", tag = "pipeline", operation_id = "list_webhooks",
    params(("project" = String, Path, example = "dropit")),
    responses((status = 200, body = WebhookList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
) -> Result<Json<WebhookList>, Refusal> {
    let rows = state.store.read(move |view| view.list_webhooks(&project)).await?;
    let webhooks = rows.into_iter().map(|row| {
        let path = format!("/v1/hooks/{}/{}", row.project, row.provider);
        Webhook { project: row.project, provider: row.provider, path, created_at: row.created_at }
    });
    Ok(Json(WebhookList { webhooks: webhooks.collect() }))
}
