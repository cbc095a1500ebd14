//! Our own payload, for senders that are none of the others: CI, a script with `curl`, a forge nobody knows. Its fields are described
//! in `docs/rooms/webhook.md`. Tests: `tests/it/payload.rs`.

use havre_core::artifact::{Digest, ImageRef};
use serde::Deserialize;

use super::push::Parts;
use super::{Action, Event, ImagePushed, PayloadError, field, other, parse, ping, pull_request};

#[derive(Deserialize)]
struct Kind {
    event: String,
}

pub(super) fn read(body: &[u8]) -> Result<Event, PayloadError> {
    // Twice over the body, so that each event has its own small type.
    let Kind { event } = parse("generic", body)?;
    match event.as_str() {
        "push" => push(&event, body),
        "pull_request" => request(&event, body),
        "image" => image(&event, body),
        "ping" => ping(&event, body),
        _ => other(&field::line(&event), body),
    }
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: Option<String>,
    after: String,
    forced: Option<bool>,
    repository: String,
    clone_url: Option<String>,
    message: Option<String>,
    author: Option<String>,
    pusher: Option<String>,
    changed_paths: Option<Vec<String>>,
}

fn push(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: PushBody = parse(event, body)?;
    let parts = Parts {
        reference: &body.reference,
        before: body.before.as_deref(),
        after: &body.after,
        commit: None,
        is_forced: body.forced,
        repository: &body.repository,
        clone_url: body.clone_url.as_deref(),
        head_message: body.message.as_deref(),
        author: body.author.as_deref(),
        changed_paths: body.changed_paths.and_then(field::known_paths),
        pusher: body.pusher.as_deref(),
    };
    parts.event()
}

#[derive(Deserialize)]
struct RequestBody {
    number: u64,
    action: String,
    head: Option<String>,
    head_ref: String,
    base_ref: String,
    head_repository: Option<String>,
    base_repository: String,
}

fn request(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: RequestBody = parse(event, body)?;
    let parts = pull_request::Parts {
        number: body.number,
        action: match body.action.as_str() {
            "opened" => Action::Opened,
            "updated" => Action::Updated,
            "closed" => Action::Closed,
            _ => Action::Other,
        },
        head: body.head.as_deref(),
        head_ref: &body.head_ref,
        base_ref: &body.base_ref,
        head_repository: body.head_repository.as_deref(),
        base_repository: &body.base_repository,
    };
    parts.event()
}

#[derive(Deserialize)]
struct ImageBody {
    image: String,
    digest: Option<String>,
    pusher: Option<String>,
}

fn image(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: ImageBody = parse(event, body)?;
    let image: ImageRef = body.image.parse().map_err(PayloadError::ImageInvalid)?;
    let digest =
        body.digest.map(|digest| digest.parse::<Digest>()).transpose().map_err(PayloadError::ImageInvalid)?;
    Ok(Event::ImagePushed(ImagePushed {
        image,
        digest,
        pusher: field::optional_line(body.pusher.as_deref()),
    }))
}
