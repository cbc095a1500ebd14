//! What the pull requests of all senders have in common, made into an event in one place. Tests: `tests/it/payload.rs`.

use serde::Deserialize;

use super::{Action, Event, PayloadError, PullRequest, field, parse};

/// Texts of a payload, not looked at yet.
pub(super) struct Parts<'p> {
    pub(super) number: u64,
    pub(super) action: Action,
    pub(super) head: Option<&'p str>,
    pub(super) head_ref: &'p str,
    pub(super) base_ref: &'p str,
    /// Nothing when it is gone.
    pub(super) head_repository: Option<&'p str>,
    pub(super) base_repository: &'p str,
}

impl Parts<'_> {
    pub(super) fn event(self) -> Result<Event, PayloadError> {
        Ok(Event::PullRequest(PullRequest {
            number: self.number,
            action: self.action,
            head: self.head.map(field::commit).transpose()?,
            head_ref: field::branch(self.head_ref)?,
            base_ref: field::branch(self.base_ref)?,
            head_repository: field::optional_line(self.head_repository),
            base_repository: field::line(self.base_repository),
            // Of the whole names: cut ones could be alike.
            is_fork: self.head_repository != Some(self.base_repository),
        }))
    }
}

/// The payload of GitHub and Gitea.
#[derive(Deserialize)]
struct Body {
    action: String,
    number: u64,
    pull_request: Sides,
}

#[derive(Deserialize)]
struct Sides {
    head: Side,
    base: Side,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    reference: String,
    label: Option<String>,
    sha: String,
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

impl Side {
    /// Its branch. Gitea writes `refs/pull/7/head` once the branch is gone, and keeps its name in `label`.
    fn branch(&self) -> &str {
        match &self.label {
            Some(label) if self.reference.starts_with("refs/pull/") => label,
            _ => &self.reference,
        }
    }

    fn repository(&self) -> Option<&str> {
        self.repo.as_ref().map(|repository| repository.full_name.as_str())
    }
}

/// Reads a pull request of GitHub or Gitea, which write it alike.
pub(super) fn read(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: Body = parse(event, body)?;
    let Sides { head, base } = &body.pull_request;
    let parts = Parts {
        number: body.number,
        action: match body.action.as_str() {
            "opened" | "reopened" => Action::Opened,
            // GitHub says the one, Gitea the other.
            "synchronize" | "synchronized" => Action::Updated,
            "closed" => Action::Closed,
            _ => Action::Other,
        },
        head: Some(&head.sha),
        head_ref: head.branch(),
        base_ref: base.branch(),
        head_repository: head.repository(),
        base_repository: base.repository().unwrap_or_default(),
    };
    parts.event()
}
