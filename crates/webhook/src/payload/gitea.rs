//! Payloads of Gitea and Forgejo, their registry of images among them. Tests: `tests/it/payload.rs`.

use havre_core::artifact::ImageRef;
use serde::Deserialize;

use super::field::{self, Commit};
use super::push::Parts;
use super::{Event, ImagePushed, PayloadError, other, parse, pull_request};

pub(super) fn read(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    match event {
        "push" => push(event, body),
        // Older versions name the second one for new commits.
        "pull_request" | "pull_request_sync" => pull_request::read(event, body),
        "package" => package(event, body),
        _ => other(event, body),
    }
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    /// The newest five, unless the server is set otherwise.
    commits: Option<Vec<Commit>>,
    total_commits: Option<u64>,
    head_commit: Option<Commit>,
    repository: Repository,
    pusher: Option<User>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    clone_url: Option<String>,
}

#[derive(Deserialize)]
struct User {
    login: Option<String>,
}

fn push(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: PushBody = parse(event, body)?;
    let commits = body.commits.as_deref().unwrap_or_default();
    let is_whole = body.total_commits == u64::try_from(commits.len()).ok();
    let parts = Parts {
        reference: &body.reference,
        before: Some(&body.before),
        after: &body.after,
        commit: body.head_commit.as_ref().map(|commit| commit.id.as_str()),
        is_forced: None,
        repository: &body.repository.full_name,
        clone_url: body.repository.clone_url.as_deref(),
        head_message: None,
        author: None,
        changed_paths: if is_whole { field::changed_paths(commits) } else { None },
        pusher: body.pusher.as_ref().and_then(|user| user.login.as_deref()),
    };
    parts.head(body.head_commit.as_ref()).event()
}

#[derive(Deserialize)]
struct PackageBody {
    action: String,
    package: Package,
    sender: Option<User>,
}

#[derive(Deserialize)]
struct Package {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    /// The tag, or the digest of what has none.
    version: String,
    owner: User,
    html_url: String,
}

/// An image in the registry of the server itself, whose host is the one of the page about it.
fn package(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: PackageBody = parse(event, body)?;
    let package = &body.package;
    let nothing = || Ok(Event::Other { name: event.to_owned() });
    let is_tag = body.action == "created" && package.kind == "container" && !package.version.contains(':');
    let (Some(owner), true) = (&package.owner.login, is_tag) else { return nothing() };
    let Some((_, rest)) = package.html_url.split_once("://") else { return nothing() };
    let host = rest.split('/').next().unwrap_or_default();
    let name = format!("{owner}/{}", package.name).to_ascii_lowercase();
    let image: ImageRef =
        format!("{host}/{name}:{}", package.version).parse().map_err(PayloadError::ImageInvalid)?;
    let pusher = field::optional_line(body.sender.as_ref().and_then(|user| user.login.as_deref()));
    Ok(Event::ImagePushed(ImagePushed { image, digest: None, pusher }))
}
