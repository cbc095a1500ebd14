//! `POST /v1/hooks/{project}/{provider}`: a sender says that something has happened. Whoever does not prove to know the secret is told
//! nothing, not even whether there is such a webhook. What follows from a delivery that is believed is `havre_webhook::judge`'s; here it is
//! remembered and done, in one transaction: a fetch is asked for, a preview wished for or taken down, builds are queued. What follows from
//! a fetch or a wish is decided by the loop, and waited for a moment. Tests: `tests/it/webhook.rs`, `tests/it/webhook_image.rs`.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Request, State};
use havre_api::error::ErrorBody;
use havre_api::webhook::DeliveryAnswer;
use havre_core::event::Actor;
use havre_core::id::{BuildId, PipelineId};
use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::preview::PullNumber;
use havre_core::secret::Secret;
use havre_core::source::{CommitId, RefName};
use havre_store::{StoreError, Tx};
use havre_webhook::delivery::Delivery;
use havre_webhook::headers::Headers;
use havre_webhook::judge::{Rules, Verdict as Judged, judge};
use havre_webhook::payload::{self, BODY_MAX, Contents, Event, PayloadError};
use havre_webhook::provider::Provider;
use havre_webhook::verify::{self, verify, verify_token};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use crate::error::{Code, Refusal};
use crate::extract::{HookPath, Params, read_body};
use crate::state::AppState;
use crate::transaction;
use crate::webhook::{image, pull};

/// How often it is looked whether something was decided.
pub(super) const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// What deliveries for webhooks that are not there are compared with, so that they take as long as others.
const NOBODY: &[u8] = b"there is no such webhook on this server";

/// A branch or tag that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    reference: RefName,
    /// The commit that was announced; absent where it was removed.
    commit: Option<CommitId>,
}

/// What a delivery comes to.
#[derive(Debug, Default)]
struct Outcome {
    wishes: Vec<Wish>,
    /// Builds that were queued for images.
    builds: Vec<BuildId>,
    /// Pull requests that should have a preview.
    previews: Vec<PullNumber>,
    /// A preview is being taken down.
    is_closing: bool,
    is_ping: bool,
    /// Why nothing follows from the rest of it.
    reasons: Vec<String>,
}

impl Outcome {
    /// Ten branches without a remote repository have one reason.
    fn ignore(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

/// What an address may bring along. Unknown keys are passed over: some senders add their own.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct HookQuery {
    /// The secret, of a sender that knows an address and nothing else: Docker Hub.
    secret: Option<String>,
}

/// Take a delivery of a webhook. The sender proves by a signature that it knows the secret; no access token is needed.
#[utoipa::path(post, path = "/v1/hooks/{project}/{provider}", tag = "pipeline", operation_id = "receive_delivery",
    security(()),
    params(("project" = String, Path, example = "dropit"), ("provider" = String, Path, example = "github"),
        ("secret" = Option<String>, Query, description = "The secret, for `registry` only, of a sender that can send no header")),
    request_body(content = Vec<u8>, content_type = "application/json"),
    responses(
        (status = 200, body = DeliveryAnswer, description = "Nothing follows"),
        (status = 202, body = DeliveryAnswer, description = "Something follows"),
        (status = 400, body = ErrorBody, description = "`payload_invalid`"),
        (status = 401, body = ErrorBody, description = "`delivery_refused`"),
        (status = 409, body = ErrorBody, description = "`delivery_repeated`"),
        (status = 413, body = ErrorBody, description = "`body_too_large`"),
        (status = 415, body = ErrorBody, description = "`payload_form`"),
        (status = 422, body = ErrorBody, description = "`payload_refused`"),
    ))]
pub(crate) async fn receive(
    State(state): State<AppState>,
    HookPath { project, provider }: HookPath,
    Params(query): Params<HookQuery>,
    request: Request,
) -> Result<(StatusCode, Json<DeliveryAnswer>), Refusal> {
    let (delivery, contents) = {
        // Given back before the wait: what is bounded is the memory of bodies.
        let _slot = state.delivery_slot()?;
        let address = query.secret.map(Secret::from).filter(|_| provider == Provider::Registry);
        take(&state, &project, provider, request, address).await?
    };
    let outcome = record(&state, project.clone(), provider, delivery, contents).await?;
    if outcome.wishes.is_empty() && outcome.builds.is_empty() && outcome.is_ping {
        return Ok((StatusCode::OK, Json(DeliveryAnswer::Pong)));
    }
    Ok(answer(&state, &project, outcome).await)
}

/// Reads a delivery, and believes it or not.
async fn take(
    state: &AppState,
    project: &ProjectName,
    provider: Provider,
    request: Request,
    address: Option<Secret>,
) -> Result<(Delivery, Contents), Refusal> {
    let headers = request.headers().clone();
    let body = tokio::time::timeout(state.limits.upload_silence, read_body(request, BODY_MAX)).await;
    let late = |_| Refusal::new(Code::UploadStalled, "the delivery did not arrive in time");
    let body = body.map_err(late)??;
    let name = project.clone();
    let secret = state.store.read(move |view| view.find_webhook_secret(&name, provider.as_str())).await?;
    let lines = lines(&headers);
    let headers = Headers::new(&lines);
    let believed = match &address {
        Some(given) => check_address(secret.as_ref(), given),
        None => check(provider, secret.as_ref(), &headers, &body),
    };
    if let Err(refusal) = believed {
        tracing::info!(%project, %provider, reason = refusal.name(), "a delivery was refused");
        return Err(Refusal::new(Code::DeliveryRefused, "the delivery proves nothing")
            .hint("enter the secret of the webhook at the sender; the log of havred says more"));
    }
    let delivery = Delivery::read(provider, &headers, &body);
    let delivery = delivery.map_err(|error| Refusal::new(Code::PayloadInvalid, error.to_string()))?;
    Ok((delivery, payload::read(provider, &headers, &body).map_err(refuse)?))
}

fn lines(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// Whether the sender knows the secret. Where there is none, nobody does, after the same work.
fn check(
    provider: Provider,
    secret: Option<&Secret>,
    headers: &Headers<'_>,
    body: &[u8],
) -> Result<(), verify::Refusal> {
    match secret {
        Some(secret) => verify(provider, secret.expose(), headers, body),
        None => {
            let verified = verify(provider, NOBODY, headers, body);
            let _ = std::hint::black_box(verified);
            Err(verify::Refusal::SecretMissing)
        }
    }
}

/// The same for a secret that came in the address. It is never shown: neither in an answer nor in a log.
fn check_address(secret: Option<&Secret>, given: &Secret) -> Result<(), verify::Refusal> {
    let place = "secret of the address";
    match secret {
        Some(secret) => verify_token(secret.expose(), given.expose(), place),
        None => {
            let verified = verify_token(NOBODY, given.expose(), place);
            let _ = std::hint::black_box(verified);
            Err(verify::Refusal::SecretMissing)
        }
    }
}

fn refuse(error: PayloadError) -> Refusal {
    let code = match &error {
        PayloadError::TooLarge { .. } => Code::BodyTooLarge,
        PayloadError::Form => Code::PayloadForm,
        PayloadError::RefInvalid(_) | PayloadError::CommitInvalid(_) | PayloadError::ImageInvalid(_) => {
            Code::PayloadRefused
        }
        _ => Code::PayloadInvalid,
    };
    let details = serde_json::json!({ "reason": error.name() });
    Refusal::new(code, crate::error::chain(&error)).details(details)
}

/// Remembers the delivery and does what follows from it, as far as that is not a loop's.
async fn record(
    state: &AppState,
    project: ProjectName,
    provider: Provider,
    delivery: Delivery,
    contents: Contents,
) -> Result<Outcome, Refusal> {
    let actor = Actor::Webhook { provider: provider.to_string() };
    let written = transaction::write(state, actor, move |tx| {
        let (id, body) = (delivery.id.as_str(), delivery.body.to_string());
        if !tx.remember_delivery(&project, provider.as_str(), id, &body)? {
            let message = "this delivery was here before; nothing is done again";
            if provider == Provider::Registry {
                // The distribution registry sends again, before anything newer, until it is told that all is well.
                return Ok(Outcome { reasons: vec![message.to_owned()], ..Outcome::default() });
            }
            return Err(Refusal::new(Code::DeliveryRepeated, message));
        }
        let mut outcome = follow(tx, project, provider, &contents.events)?;
        for refused in &contents.refused {
            outcome.ignore(crate::error::chain(refused));
        }
        Ok(outcome)
    });
    written.await
}

/// Does what follows from each event.
fn follow(
    tx: &mut Tx<'_>,
    project: ProjectName,
    provider: Provider,
    events: &[Event],
) -> Result<Outcome, StoreError> {
    let has_images = events.iter().any(|event| matches!(event, Event::ImagePushed(_)));
    let services = if has_images { image::services(tx, &project)? } else { Vec::new() };
    let images = services.iter().map(|(_, image)| image.clone()).collect();
    let remote = tx.find_remote(&project)?.map(|remote| remote.url);
    let rules = Rules { project, provider, remote, images };
    let mut outcome = Outcome::default();
    let mut pushed = BTreeSet::new();
    for event in events {
        match judge(event, &rules) {
            Judged::Ignored { reason } => outcome.ignore(reason.to_string()),
            Judged::Pong => outcome.is_ping = true,
            Judged::Fetch { reference, commit } => {
                tx.request_fetch(&rules.project, &reference, commit.as_ref())?;
                outcome.wishes.push(Wish { reference, commit });
            }
            Judged::Preview { wish } => {
                tx.request_preview(&wish)?;
                outcome.previews.push(wish.number);
            }
            Judged::EndPreview { number } => match pull::end(tx, &rules.project, number)? {
                None => outcome.is_closing = true,
                Some(reason) => outcome.ignore(reason.to_string()),
            },
            // Each service once, however many of the images are its own.
            Judged::Deploy { images } => pushed.extend(images),
        }
    }
    outcome.builds = image::deploy(tx, services, &pushed)?;
    Ok(outcome)
}

/// Waits a moment for what is decided about every push, and says it.
async fn answer(
    state: &AppState,
    project: &ProjectName,
    outcome: Outcome,
) -> (StatusCode, Json<DeliveryAnswer>) {
    let until = Instant::now() + state.limits.delivery_wait;
    let mut reasons = outcome.reasons;
    let mut pipelines: Vec<PipelineId> = Vec::new();
    let mut is_open = outcome.is_closing;
    let mut verdicts = Vec::new();
    for Wish { reference, commit } in outcome.wishes {
        verdicts.push(match commit {
            Some(commit) => decision(state, project, reference, commit, until).await,
            None => None,
        });
    }
    for number in outcome.previews {
        verdicts.push(pull::decision(state, project, number, until).await);
    }
    for verdict in verdicts {
        match verdict {
            Some(Verdict::Started { pipelines: found }) => pipelines.extend(found),
            Some(Verdict::Ignored { reason }) => reasons.push(reason),
            None => is_open = true,
        }
    }
    let builds = outcome.builds;
    let (status, answer) = if !pipelines.is_empty() || !builds.is_empty() {
        let mut urls = pull::urls(&pipelines);
        urls.extend(builds.iter().map(|id| format!("/v1/builds/{id}")));
        (StatusCode::ACCEPTED, DeliveryAnswer::Started { pipelines, builds, urls })
    } else if is_open {
        (StatusCode::ACCEPTED, DeliveryAnswer::Accepted)
    } else {
        (StatusCode::OK, DeliveryAnswer::Ignored { reason: reasons.join("; ") })
    };
    (status, Json(answer))
}

/// What is decided about exactly this commit, if it is by `until`.
async fn decision(
    state: &AppState,
    project: &ProjectName,
    reference: RefName,
    commit: CommitId,
    until: Instant,
) -> Option<Verdict> {
    loop {
        let (name, key) = (project.clone(), reference.clone());
        let row = state.store.read(move |view| view.find_ref(&name, &key)).await.ok().flatten();
        let verdict = row.filter(|row| row.commit == commit).and_then(|row| row.verdict);
        if verdict.is_some() || Instant::now() >= until || state.stop.is_cancelled() {
            return verdict;
        }
        tokio::time::sleep(LOOK).await;
    }
}
