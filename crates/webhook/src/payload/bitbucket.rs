//! Payloads of Bitbucket Cloud. One push may move several branches, and what its commits change is never listed.
//! Tests: `tests/it/payload.rs`.

use serde::Deserialize;

use super::push::Parts;
use super::{Action, Event, PayloadError, other, parse, ping, pull_request};

pub(super) fn read(event: &str, body: &[u8]) -> Result<Vec<Result<Event, PayloadError>>, PayloadError> {
    match event {
        "repo:push" => push(event, body),
        "diagnostics:ping" => Ok(vec![ping(event, body)]),
        "pullrequest:created" | "pullrequest:updated" | "pullrequest:fulfilled" | "pullrequest:rejected" => {
            Ok(vec![request(event, body)])
        }
        _ => Ok(vec![other(event, body)]),
    }
}

#[derive(Deserialize)]
struct PushBody {
    push: Push,
    repository: Repository,
    actor: Option<Actor>,
}

#[derive(Deserialize)]
struct Push {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    /// Nothing when it was removed.
    new: Option<Reference>,
    /// Nothing when it is new.
    old: Option<Reference>,
    forced: Option<bool>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    hash: String,
    message: Option<String>,
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Author {
    /// `Ada <ada@example.org>`.
    raw: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct Actor {
    nickname: Option<String>,
    display_name: Option<String>,
}

fn push(event: &str, body: &[u8]) -> Result<Vec<Result<Event, PayloadError>>, PayloadError> {
    let body: PushBody = parse(event, body)?;
    let mut parts: Vec<_> = body.push.changes.iter().map(|change| moved(event, &body, change)).collect();
    if parts.is_empty() {
        parts.push(Ok(Event::Other { name: event.to_owned() }));
    }
    Ok(parts)
}

fn moved(event: &str, body: &PushBody, change: &Change) -> Result<Event, PayloadError> {
    let Some(named) = change.new.as_ref().or(change.old.as_ref()) else {
        return Ok(Event::Other { name: event.to_owned() });
    };
    let reference = match named.kind.as_str() {
        "branch" => format!("refs/heads/{}", named.name),
        "tag" | "annotated_tag" => format!("refs/tags/{}", named.name),
        _ => return Ok(Event::Other { name: event.to_owned() }),
    };
    let zeros = "0".repeat(named.target.hash.len());
    let target = change.new.as_ref().map(|new| &new.target);
    let author = target.and_then(|target| target.author.as_ref()?.raw.as_deref());
    let actor = body.actor.as_ref();
    let parts = Parts {
        reference: &reference,
        before: change.old.as_ref().map(|old| old.target.hash.as_str()),
        after: target.map_or(zeros.as_str(), |target| target.hash.as_str()),
        commit: None,
        is_forced: change.forced,
        repository: &body.repository.full_name,
        clone_url: None,
        head_message: target.and_then(|target| target.message.as_deref()),
        author: author.map(|raw| raw.split('<').next().unwrap_or_default().trim()),
        changed_paths: None,
        pusher: actor.and_then(|actor| actor.nickname.as_deref().or(actor.display_name.as_deref())),
    };
    parts.event()
}

#[derive(Deserialize)]
struct RequestBody {
    pullrequest: Request,
}

#[derive(Deserialize)]
struct Request {
    id: u64,
    source: Side,
    destination: Side,
}

#[derive(Deserialize)]
struct Side {
    branch: Branch,
    commit: Option<Commit>,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize)]
struct Commit {
    hash: String,
}

/// Bitbucket says `updated` of a new title as well as of new commits, so both are taken for the latter.
fn request(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: RequestBody = parse(event, body)?;
    let request = &body.pullrequest;
    let (source, destination) = (&request.source, &request.destination);
    let head = source.commit.as_ref().map(|commit| commit.hash.as_str());
    let parts = pull_request::Parts {
        number: request.id,
        action: match event {
            "pullrequest:created" => Action::Opened,
            "pullrequest:updated" => Action::Updated,
            _ => Action::Closed,
        },
        head: head.filter(|hash| !is_shortened(hash)),
        head_ref: &source.branch.name,
        base_ref: &destination.branch.name,
        head_repository: source.repository.as_ref().map(|repository| repository.full_name.as_str()),
        base_repository: destination
            .repository
            .as_ref()
            .map_or("", |repository| repository.full_name.as_str()),
    };
    parts.event()
}

/// Twelve digits, as Bitbucket writes commits of pull requests. What is neither that nor whole is refused later.
fn is_shortened(hash: &str) -> bool {
    (7..40).contains(&hash.len())
        && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
