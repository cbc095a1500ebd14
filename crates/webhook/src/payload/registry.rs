//! Payloads of registries that name no event in a header: the notifications of the distribution registry (and of those built on it),
//! Docker Hub, and packages of GitHub where somebody passes them on. Told apart by their fields. Tests: `tests/it/payload.rs`.

use havre_core::artifact::ImageRef;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Event, ImagePushed, PayloadError, field, github, parse};

#[derive(Deserialize)]
struct Shape {
    events: Option<IgnoredAny>,
    push_data: Option<IgnoredAny>,
    package: Option<IgnoredAny>,
    registry_package: Option<IgnoredAny>,
}

pub(super) fn read(body: &[u8]) -> Result<Vec<Result<Event, PayloadError>>, PayloadError> {
    let shape: Shape = parse("registry", body)?;
    if shape.events.is_some() {
        return distribution(body);
    }
    if shape.push_data.is_some() {
        return Ok(vec![docker_hub(body)]);
    }
    if shape.package.is_some() || shape.registry_package.is_some() {
        return Ok(vec![github::package("package", body)]);
    }
    Err(PayloadError::Unknown)
}

#[derive(Deserialize)]
struct Envelope {
    events: Vec<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    action: String,
    target: Target,
    request: Option<Request>,
    actor: Option<Actor>,
}

#[derive(Deserialize)]
struct Target {
    repository: Option<String>,
    /// Nothing for layers, and for images pushed by digest, such as the parts of one for several platforms.
    tag: Option<String>,
    digest: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Request {
    host: Option<String>,
}

#[derive(Deserialize)]
struct Actor {
    name: Option<String>,
}

/// Each tag that was pushed; where an envelope has none, what it is about instead.
fn distribution(body: &[u8]) -> Result<Vec<Result<Event, PayloadError>>, PayloadError> {
    let envelope: Envelope = parse("notification", body)?;
    let pushed = envelope.events.iter().filter(|event| event.action == "push");
    let mut parts: Vec<_> = pushed.filter_map(tagged).collect();
    if parts.is_empty() {
        let name = match envelope.events.first().map(|event| event.action.as_str()) {
            Some("push") => "push without a tag",
            Some(action) => action,
            None => "nothing",
        };
        parts.push(Ok(Event::Other { name: field::line(name) }));
    }
    Ok(parts)
}

fn tagged(event: &Notification) -> Option<Result<Event, PayloadError>> {
    let tag = event.target.tag.as_deref().filter(|tag| !tag.is_empty())?;
    let repository = event.target.repository.as_deref()?;
    // The host the pusher has used, else the one in the address of the image.
    let host = event.request.as_ref().and_then(|request| request.host.as_deref());
    let host = host.filter(|host| !host.is_empty()).or_else(|| {
        let (_, rest) = event.target.url.as_deref()?.split_once("://")?;
        rest.split('/').next()
    })?;
    Some(image(&format!("{host}/{repository}:{tag}")).map(|image| {
        let digest = event.target.digest.as_deref().and_then(|digest| digest.parse().ok());
        let actor = event.actor.as_ref().and_then(|actor| actor.name.as_deref());
        Event::ImagePushed(ImagePushed { image, digest, pusher: field::optional_line(actor) })
    }))
}

#[derive(Deserialize)]
struct HubBody {
    push_data: HubPush,
    repository: HubRepository,
}

#[derive(Deserialize)]
struct HubPush {
    tag: String,
    pusher: Option<String>,
}

#[derive(Deserialize)]
struct HubRepository {
    repo_name: String,
}

fn docker_hub(body: &[u8]) -> Result<Event, PayloadError> {
    let body: HubBody = parse("push", body)?;
    let image = image(&format!("docker.io/{}:{}", body.repository.repo_name, body.push_data.tag))?;
    let pusher = field::optional_line(body.push_data.pusher.as_deref());
    Ok(Event::ImagePushed(ImagePushed { image, digest: None, pusher }))
}

fn image(text: &str) -> Result<ImageRef, PayloadError> {
    text.parse().map_err(PayloadError::ImageInvalid)
}
