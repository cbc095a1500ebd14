//! The status of a commit as a call. The same call made twice shows the same. Tests: `tests/it/status.rs`.

use havre_core::name::EnvironmentName;
use havre_core::pipeline::status::CommitStatus;
use havre_core::source::forge::Forge;
use havre_core::source::{CommitId, RefName};
use serde_json::{Value, json};

use crate::call::{Call, Method};
use crate::repository::Repository;
use crate::text::shorten;

/// Longest line beside a status at GitHub, in characters; the others take 255.
const GITHUB_LINE_MAX: usize = 140;
/// The same at the others.
const LINE_MAX: usize = 255;

/// What is told.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    /// About which commit.
    pub commit: &'a CommitId,
    /// The branch or tag it was pushed to.
    pub reference: &'a RefName,
    /// Where it is deployed to. Statuses of the same environment replace each other.
    pub environment: &'a EnvironmentName,
    /// What became of it.
    pub status: CommitStatus,
    /// The line beside it.
    pub line: &'a str,
    /// Where people read more.
    pub link: Option<&'a str>,
}

/// What the status is called at the forge, `havre/production`: at most 38 characters, of the 40 Bitbucket has room for.
pub fn context(environment: &EnvironmentName) -> String {
    format!("havre/{environment}")
}

/// The call that tells it.
pub fn tell(repository: &Repository, note: &Note<'_>) -> Call {
    let (path, body) = match repository.forge {
        Forge::GitHub => (format!("/statuses/{}", note.commit), github(note, GITHUB_LINE_MAX)),
        Forge::Gitea => (format!("/statuses/{}", note.commit), github(note, LINE_MAX)),
        Forge::GitLab => (format!("/statuses/{}", note.commit), gitlab(note)),
        Forge::Bitbucket => (format!("/commit/{}/statuses/build", note.commit), bitbucket(repository, note)),
    };
    Call::new(repository.forge, Method::Post, repository.below(&path), Some(body))
}

/// Gitea has taken over the fields and the states.
fn github(note: &Note<'_>, line_max: usize) -> Value {
    let state = match note.status {
        CommitStatus::Pending | CommitStatus::Running => "pending",
        CommitStatus::Success => "success",
        CommitStatus::Failure => "failure",
        // Neither well nor the fault of the commit.
        CommitStatus::Cancelled => "error",
    };
    let body = json!({
        "state": state,
        "context": context(note.environment),
        "description": shorten(note.line, line_max),
    });
    with_link(body, note)
}

fn gitlab(note: &Note<'_>) -> Value {
    let state = match note.status {
        CommitStatus::Pending => "pending",
        CommitStatus::Running => "running",
        CommitStatus::Success => "success",
        CommitStatus::Failure => "failed",
        CommitStatus::Cancelled => "canceled",
    };
    let reference = note.reference.as_str();
    let name = reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/tags/"));
    let body = json!({
        "state": state,
        "name": context(note.environment),
        "description": shorten(note.line, LINE_MAX),
        // A commit may be on several branches; without this, one of them is guessed.
        "ref": name.unwrap_or(reference),
    });
    with_link(body, note)
}

fn bitbucket(repository: &Repository, note: &Note<'_>) -> Value {
    let state = match note.status {
        CommitStatus::Pending | CommitStatus::Running => "INPROGRESS",
        CommitStatus::Success => "SUCCESSFUL",
        CommitStatus::Failure => "FAILED",
        CommitStatus::Cancelled => "STOPPED",
    };
    let name = context(note.environment);
    // Without a link a status is refused here, so it leads back to the commit.
    let commit = || format!("https://bitbucket.org/{}/commits/{}", repository.name(), note.commit);
    json!({
        "state": state,
        "key": name,
        "name": name,
        "description": shorten(note.line, LINE_MAX),
        "url": note.link.map_or_else(commit, ToOwned::to_owned),
    })
}

fn with_link(mut body: Value, note: &Note<'_>) -> Value {
    if let Some(link) = note.link {
        body["target_url"] = Value::from(link);
    }
    body
}
