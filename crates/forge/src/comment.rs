//! The one comment Havre keeps on a pull request (GitLab: merge request), known again by a mark in its text where its number is not known:
//! looked for page by page, then changed, or made where there is none. Who may write comments may also write a mark that is there to read,
//! so nothing secret belongs in a comment. Tests: `tests/it/comment.rs`.

use havre_core::preview::PullNumber;
use havre_core::source::forge::Forge;
use havre_decide::preview::comment::CommentId;
use serde_json::{Value, json};

use crate::call::{Call, Method};
use crate::repository::Repository;

/// Comments on a page, the most all of them give.
const PAGE: usize = 100;
/// Pages that are looked at: a mark further back than a thousand comments is not found, and a new comment made.
pub const PAGES_MAX: u32 = 10;

/// What cannot be read as a page of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the forge does not answer with a list of comments")]
pub struct PageError;

/// A page of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The comment with the mark.
    pub found: Option<CommentId>,
    /// Whether there may be more on the next page.
    pub has_more: bool,
}

/// The mark of a comment, which people do not see; `key` is made of letters, digits, `-` and `/`.
pub fn mark(forge: Forge, key: &str) -> String {
    match forge {
        // Shows HTML as it is written, and hides a link nobody uses.
        Forge::Bitbucket => format!("[//]: # (havre {key})"),
        Forge::GitHub | Forge::GitLab | Forge::Gitea => format!("<!-- havre {key} -->"),
    }
}

/// The call for a page of comments, counted from 1.
pub fn list(repository: &Repository, number: PullNumber, page: u32) -> Call {
    let comments = comments(repository.forge, number);
    let query = match repository.forge {
        Forge::GitHub => format!("?per_page={PAGE}&page={page}"),
        Forge::GitLab => format!("?per_page={PAGE}&page={page}&order_by=created_at&sort=asc"),
        // All of them at once, whatever is asked for.
        Forge::Gitea => String::new(),
        Forge::Bitbucket => format!("?pagelen={PAGE}&page={page}"),
    };
    Call::new(repository.forge, Method::Get, repository.below(&format!("{comments}{query}")), None)
}

/// Looks for the mark on a page.
///
/// # Errors
/// It is none.
pub fn find(forge: Forge, body: &[u8], mark: &str) -> Result<Page, PageError> {
    let body: Value = serde_json::from_slice(body).map_err(|_| PageError)?;
    let list = if forge == Forge::Bitbucket { &body["values"] } else { &body };
    let list = list.as_array().ok_or(PageError)?;
    let found = list.iter().find(|one| text(forge, one).contains(mark) && !is_gone(forge, one));
    let found = found.and_then(|one| one["id"].as_u64()).map(CommentId);
    let has_more = match forge {
        Forge::GitHub | Forge::GitLab => list.len() >= PAGE,
        Forge::Gitea => false,
        Forge::Bitbucket => body["next"].is_string(),
    };
    Ok(Page { found, has_more })
}

/// The number of a comment that was made; nothing where the answer does not say it.
pub fn made(body: &[u8]) -> Option<CommentId> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["id"].as_u64().map(CommentId)
}

/// The call that makes the comment.
pub fn create(repository: &Repository, number: PullNumber, mark: &str, text: &str) -> Call {
    let url = repository.below(&comments(repository.forge, number));
    Call::new(repository.forge, Method::Post, url, Some(body(repository.forge, mark, text)))
}

/// The call that replaces its text.
pub fn update(repository: &Repository, number: PullNumber, id: CommentId, mark: &str, text: &str) -> Call {
    let CommentId(id) = id;
    let (method, path) = match repository.forge {
        Forge::GitHub | Forge::Gitea => (Method::Patch, format!("/issues/comments/{id}")),
        Forge::GitLab | Forge::Bitbucket => {
            (Method::Put, format!("{}/{id}", comments(repository.forge, number)))
        }
    };
    Call::new(repository.forge, method, repository.below(&path), Some(body(repository.forge, mark, text)))
}

fn comments(forge: Forge, number: PullNumber) -> String {
    match forge {
        // To them a pull request is an issue with a branch.
        Forge::GitHub | Forge::Gitea => format!("/issues/{number}/comments"),
        Forge::GitLab => format!("/merge_requests/{number}/notes"),
        Forge::Bitbucket => format!("/pullrequests/{number}/comments"),
    }
}

fn body(forge: Forge, mark: &str, text: &str) -> Value {
    let text = format!("{text}\n\n{mark}\n");
    match forge {
        Forge::Bitbucket => json!({ "content": { "raw": text } }),
        Forge::GitHub | Forge::GitLab | Forge::Gitea => json!({ "body": text }),
    }
}

fn text(forge: Forge, comment: &Value) -> &str {
    let text = match forge {
        Forge::Bitbucket => &comment["content"]["raw"],
        Forge::GitHub | Forge::GitLab | Forge::Gitea => &comment["body"],
    };
    text.as_str().unwrap_or_default()
}

/// Bitbucket goes on to list what was deleted.
fn is_gone(forge: Forge, comment: &Value) -> bool {
    forge == Forge::Bitbucket && comment["deleted"].as_bool() == Some(true)
}
