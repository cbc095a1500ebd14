//! `PUT /v1/projects/{project}/webhooks/{provider}`: makes a secret, or takes one, and shows it this one time.
//! Tests: `tests/it/webhook.rs`.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::webhook::{SetWebhookRequest, SetWebhookResponse};
use havre_core::secret::Secret;
use havre_webhook::headers::Headers;
use havre_webhook::provider::Provider;
use havre_webhook::verify::verify;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{HookPath, Input};
use crate::state::AppState;
use crate::webhook::path;

/// Longest secret that is taken.
const SECRET_MAX: usize = 512;

/// Give a project a webhook of this sender, or the one it has another secret. The secret is shown this one time.
#[utoipa::path(put, path = "/v1/projects/{project}/webhooks/{provider}", tag = "pipeline", operation_id = "set_webhook",
    params(("project" = String, Path, example = "dropit"), ("provider" = String, Path, example = "github")),
    request_body = SetWebhookRequest,
    responses(
        (status = 200, body = SetWebhookResponse),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`webhook_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    HookPath { project, provider }: HookPath,
    Input(request): Input<SetWebhookRequest>,
) -> Result<Json<SetWebhookResponse>, Refusal> {
    let secret = match request.secret {
        Some(secret) => secret,
        None => fresh((state.entropy)()),
    };
    check(provider, &secret)?;
    let answer = SetWebhookResponse {
        path: path(&project, provider),
        project: project.clone(),
        provider: provider.to_string(),
        secret: secret.clone(),
    };
    let secret = Secret::from(secret);
    let set =
        state.store.write(state.now(), actor, move |tx| tx.set_webhook(&project, provider.as_str(), &secret));
    set.await?;
    Ok(Json(answer))
}

/// 64 digits, which every sender takes.
fn fresh(random: [u8; 32]) -> String {
    random.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Whether anybody could ever be believed with this secret. Never says it.
fn check(provider: Provider, secret: &str) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(Code::WebhookInvalid, message));
    if secret.len() > SECRET_MAX || !secret.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return invalid("the secret is not at most 512 visible ASCII characters".to_owned());
    }
    match verify(provider, secret.as_bytes(), &Headers::new(&[]), b"") {
        Err(refusal) if refusal.is_ours() => invalid(refusal.to_string()),
        _ => Ok(()),
    }
}
