//! Payloads of GitLab. Tests: `tests/it/payload.rs`.

use serde::Deserialize;

use super::field::{self, Commit};
use super::{Action, Event, PayloadError, other, parse, pull_request, push};

pub(super) fn read(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    match event {
        "Push Hook" | "Tag Push Hook" => push(event, body),
        "Merge Request Hook" => merge_request(event, body),
        _ => other(event, body),
    }
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    /// The commit, also where `after` is an annotated tag.
    checkout_sha: Option<String>,
    /// The newest twenty.
    commits: Option<Vec<Commit>>,
    total_commits_count: Option<u64>,
    project: Project,
    user_username: Option<String>,
    user_name: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
    git_http_url: Option<String>,
}

fn push(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: PushBody = parse(event, body)?;
    let commits = body.commits.as_deref().unwrap_or_default();
    let newest = body.checkout_sha.as_deref().unwrap_or(&body.after);
    let is_whole = body.total_commits_count == u64::try_from(commits.len()).ok();
    let parts = push::Parts {
        reference: &body.reference,
        before: Some(&body.before),
        after: &body.after,
        commit: body.checkout_sha.as_deref(),
        is_forced: None,
        repository: &body.project.path_with_namespace,
        clone_url: body.project.git_http_url.as_deref(),
        head_message: None,
        author: None,
        changed_paths: if is_whole { field::changed_paths(commits) } else { None },
        pusher: body.user_username.as_deref().or(body.user_name.as_deref()),
    };
    parts.head(commits.iter().find(|commit| commit.id == newest)).event()
}

#[derive(Deserialize)]
struct MergeRequestBody {
    object_attributes: MergeRequest,
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    action: Option<String>,
    /// The newest commit before, only where an update has brought others.
    oldrev: Option<String>,
    source_branch: String,
    target_branch: String,
    source: Option<Project>,
    target: Project,
    last_commit: Option<LastCommit>,
}

#[derive(Deserialize)]
struct LastCommit {
    id: String,
}

fn merge_request(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: MergeRequestBody = parse(event, body)?;
    let request = &body.object_attributes;
    let parts = pull_request::Parts {
        number: request.iid,
        action: match request.action.as_deref() {
            Some("open" | "reopen") => Action::Opened,
            Some("update") if request.oldrev.is_some() => Action::Updated,
            Some("close" | "merge") => Action::Closed,
            _ => Action::Other,
        },
        head: request.last_commit.as_ref().map(|commit| commit.id.as_str()),
        head_ref: &request.source_branch,
        base_ref: &request.target_branch,
        head_repository: request.source.as_ref().map(|project| project.path_with_namespace.as_str()),
        base_repository: &request.target.path_with_namespace,
    };
    parts.event()
}
