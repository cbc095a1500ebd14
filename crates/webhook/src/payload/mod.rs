//! What a delivery says: the payloads of all senders, read into one kind of event. Strict where something is used later (names of
//! branches, commits and images are parsed into their closed types), deaf for everything else: unknown fields are passed over.
//! It trusts nobody and verifies nothing: [`crate::verify`] comes first. Tests: `tests/it/payload.rs`.

mod bitbucket;
mod field;
mod generic;
mod gitea;
mod github;
mod gitlab;
mod pull_request;
mod push;
mod registry;

use havre_core::artifact::{ArtifactError, Digest, ImageRef};
use havre_core::name::NameError;
use havre_core::source::{BranchName, CommitId, RefName};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::headers::{Headers, Several};
use crate::provider::Provider;

/// Most bytes of a body. A push of a few commits has about ten kilobytes, a pull request thirty; a push of two thousand commits, the most
/// GitHub lists, stays below three megabytes. GitHub would send up to 25 MB: pushes that touch very many files, of which nothing here
/// would use the list.
pub const BODY_MAX: usize = 5 * 1024 * 1024;

/// Deepest nesting. Real payloads have up to ten levels. `serde_json` stops at 128, but not within what it passes over.
pub const DEPTH_MAX: usize = 64;

/// Most events of one delivery: branches of one push at Bitbucket, images of one envelope of a registry.
pub const EVENTS_MAX: usize = 100;

/// One thing that has happened at the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A branch was made, moved or removed.
    Push(Push),
    /// A tag was made, moved or removed.
    Tag(Push),
    /// Something about a pull request (GitLab: merge request).
    PullRequest(PullRequest),
    /// A registry has a new image of this name.
    ImagePushed(ImagePushed),
    /// The sender tries the webhook.
    Ping,
    /// Something else.
    Other {
        /// What the sender calls it.
        name: String,
    },
}

/// A branch or tag that points to something else now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Which branch or tag.
    pub reference: RefName,
    /// Where it pointed before; `None` when it is new.
    pub before: Option<CommitId>,
    /// The commit it points to now (of an annotated tag: the commit, where the sender says it); zeros when it was removed.
    pub after: CommitId,
    /// It was removed.
    pub is_deleted: bool,
    /// It does not follow from `before`. `None` where the sender does not say so: GitLab, Gitea.
    pub is_forced: Option<bool>,
    /// Full name of the repository, such as `acme/shop`.
    pub repository: String,
    /// Where to clone it from, as the sender says it; for people only. What Havre fetches from is configuration.
    pub clone_url: Option<String>,
    /// Message of the newest commit, at most 64 KiB; empty when it is not known.
    pub head_message: String,
    /// Who wrote that commit.
    pub author: Option<String>,
    /// Paths the push has changed, sorted; `None` when the payload does not tell all of them: a new branch, a forced push, more commits than
    /// the sender lists, Bitbucket.
    pub changed_paths: Option<Vec<String>>,
    /// Who pushed.
    pub pusher: Option<String>,
}

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number at the sender.
    pub number: u64,
    /// What was done.
    pub action: Action,
    /// The newest commit of its branch; `None` where the sender shortens it (Bitbucket): then the branch is asked.
    pub head: Option<CommitId>,
    /// The branch with the changes.
    pub head_ref: BranchName,
    /// The branch they are meant for.
    pub base_ref: BranchName,
    /// The repository of `head_ref`; `None` when it is gone.
    pub head_repository: Option<String>,
    /// The repository of `base_ref`.
    pub base_repository: String,
    /// The two are not the same, so strangers may have written what is in it.
    pub is_fork: bool,
}

/// What was done to a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Opened, or opened again.
    Opened,
    /// It has other commits now.
    Updated,
    /// Merged or declined.
    Closed,
    /// Anything that changes no commit: title, labels, reviews.
    Other,
}

/// A tag of an image that was pushed to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePushed {
    /// Name with registry and tag.
    pub image: ImageRef,
    /// What the tag means now, if the sender says it. Havre asks the registry all the same.
    pub digest: Option<Digest>,
    /// Who pushed.
    pub pusher: Option<String>,
}

/// The events of one delivery; at least one.
#[derive(Debug)]
pub struct Contents {
    /// What was read.
    pub events: Vec<Event>,
    /// What was refused beside them, where a delivery has several: a branch outside of the grammar, pushed together with others.
    pub refused: Vec<PayloadError>,
}

/// Why a payload says nothing to us.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Larger than [`BODY_MAX`].
    #[error(
        "the payload has {bytes} bytes, more than 5 MiB: push in smaller parts, or deploy this push with `havre deploy`"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("the payload is nested deeper than 64 levels, which none of a real sender is")]
    TooDeep,
    /// Form fields instead of JSON.
    #[error(
        "the payload is a form, and Havre reads JSON: choose the content type `application/json` in the settings of the webhook"
    )]
    Form,
    /// No header says what it is.
    #[error(
        "the delivery has no header `{header}`, so nobody can tell what the payload is: is the right kind of sender chosen?"
    )]
    EventMissing {
        /// The header.
        header: &'static str,
    },
    /// More than one header says what it is.
    #[error(transparent)]
    Several(#[from] Several),
    /// Not JSON, or not what this sender writes for this event.
    #[error("the payload of `{event}` cannot be read: {reason}")]
    Json {
        /// The event.
        event: String,
        /// What the parser says, cut: it quotes the payload at any length.
        reason: String,
    },
    /// None of the payloads that are known.
    #[error("the payload is none of a registry Havre knows: the distribution registry, Docker Hub, GitHub")]
    Unknown,
    /// More events than [`EVENTS_MAX`].
    #[error("the delivery has {count} events, more than 100: push fewer branches or images at once")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A branch or tag outside of the grammar. It is refused and never passed on.
    #[error("the branch or tag has a name that Havre does not take: rename it")]
    RefInvalid(#[source] NameError),
    /// Not an id of a commit.
    #[error("the payload names a commit that is none")]
    CommitInvalid(#[source] NameError),
    /// Not a name of an image.
    #[error("the payload names an image that is none")]
    ImageInvalid(#[source] ArtifactError),
}

impl PayloadError {
    /// A stable name for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "payload_too_large",
            Self::TooDeep => "payload_too_deep",
            Self::Form => "payload_form",
            Self::EventMissing { .. } => "event_missing",
            Self::Several(_) => "event_several",
            Self::Json { .. } => "payload_invalid",
            Self::Unknown => "payload_unknown",
            Self::TooMany { .. } => "events_too_many",
            Self::RefInvalid(_) => "ref_invalid",
            Self::CommitInvalid(_) => "commit_invalid",
            Self::ImageInvalid(_) => "image_invalid",
        }
    }
}

impl Event {
    /// A stable name for programs and people.
    pub fn name(&self) -> &str {
        match self {
            Self::Push(_) => "push",
            Self::Tag(_) => "tag",
            Self::PullRequest(_) => "pull_request",
            Self::ImagePushed(_) => "image",
            Self::Ping => "ping",
            Self::Other { name } => name,
        }
    }
}

impl Push {
    /// First line of the newest commit's message.
    pub fn subject(&self) -> &str {
        self.head_message.lines().next().unwrap_or_default()
    }
}

impl Contents {
    fn of(parts: Vec<Result<Event, PayloadError>>) -> Result<Self, PayloadError> {
        if parts.len() > EVENTS_MAX {
            return Err(PayloadError::TooMany { count: parts.len() });
        }
        let mut contents = Self { events: Vec::new(), refused: Vec::new() };
        for part in parts {
            match part {
                Ok(event) => contents.events.push(event),
                Err(error) => contents.refused.push(error),
            }
        }
        if contents.events.is_empty()
            && let Some(error) = contents.refused.pop()
        {
            return Err(error);
        }
        Ok(contents)
    }
}

/// Reads the payload of a verified delivery.
///
/// # Errors
/// Nothing in it can be used.
pub fn read(provider: Provider, headers: &Headers<'_>, body: &[u8]) -> Result<Contents, PayloadError> {
    if body.len() > BODY_MAX {
        return Err(PayloadError::TooLarge { bytes: body.len() });
    }
    refuse_form(headers, body)?;
    check_depth(body)?;
    let parts = match provider {
        Provider::GitHub => vec![github::read(&event_name(provider, headers)?, body)],
        Provider::GitLab => vec![gitlab::read(&event_name(provider, headers)?, body)],
        Provider::Gitea => vec![gitea::read(&event_name(provider, headers)?, body)],
        Provider::Bitbucket => bitbucket::read(&event_name(provider, headers)?, body)?,
        Provider::Generic => vec![generic::read(body)],
        Provider::Registry => registry::read(body)?,
    };
    Contents::of(parts)
}

fn event_name(provider: Provider, headers: &Headers<'_>) -> Result<String, PayloadError> {
    let names = provider.event_headers();
    match headers.first(names)? {
        Some((_, value)) => Ok(field::line(&String::from_utf8_lossy(value))),
        None => Err(PayloadError::EventMissing { header: names.last().copied().unwrap_or_default() }),
    }
}

/// GitHub and Gitea can send a form with the JSON in a field; its signature is right, and all that follows would be puzzling.
fn refuse_form(headers: &Headers<'_>, body: &[u8]) -> Result<(), PayloadError> {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let kind = headers.one("Content-Type")?.unwrap_or_default();
    let is_form = kind.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM));
    if is_form || body.starts_with(b"payload=") { Err(PayloadError::Form) } else { Ok(()) }
}

/// Counts brackets outside of texts. As far as the body is JSON the count is right, and behind that the parser does not look.
fn check_depth(body: &[u8]) -> Result<(), PayloadError> {
    let mut depth = 0_usize;
    let mut is_text = false;
    let mut is_escaped = false;
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(PayloadError::TooDeep);
                }
            }
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn parse<'b, T: Deserialize<'b>>(event: &str, body: &'b [u8]) -> Result<T, PayloadError> {
    serde_json::from_slice(body).map_err(|error| PayloadError::Json {
        event: event.to_owned(),
        reason: field::line(&error.to_string()),
    })
}

/// An event nothing is read of; its payload must be JSON all the same.
fn other(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    parse::<IgnoredAny>(event, body)?;
    Ok(Event::Other { name: event.to_owned() })
}

fn ping(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    parse::<IgnoredAny>(event, body)?;
    Ok(Event::Ping)
}
