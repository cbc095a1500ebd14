//! Git over HTTP: the two paths its clients ask, those of Git LFS (`lfs`), and what a person who pushes is told. The repositories themselves are
//! the daemon's ([`gateway`]). Refusals are plain text, because that is what git shows.

pub mod exchange;
mod feedback;
pub mod gateway;
pub(crate) mod lfs;
pub mod refs;

use std::str::FromStr;

use axum::response::{IntoResponse, Response};
use havre_core::name::ProjectName;
use http::{HeaderMap, header};

use crate::error::{Code, Refusal};
use crate::git::gateway::GitError;

/// Paths of git begin with this; only here a token may come as a password, which is how git sends it.
pub(crate) const PREFIX: &str = "/git/";

/// A refusal as git shows it: each line behind `remote:`.
pub(crate) struct Told(Refusal);

impl<E> From<E> for Told
where
    Refusal: From<E>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let (_, status) = self.0.code.parts();
        let mut text = self.0.message;
        for part in [self.0.hint] {
            if !part.is_empty() {
                text.push('\n');
                text.push_str(&part);
            }
        }
        text.push('\n');
        (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
    }
}

impl From<GitError> for Refusal {
    fn from(error: GitError) -> Self {
        let text = error.to_string();
        match error {
            GitError::Missing(_) => Self::new(Code::RepositoryNotFound, text),
            GitError::Refused(_) => Self::new(Code::PushRefused, text),
            GitError::NoSpace => Self::new(Code::DiskFull, text).hint("free some space on the server"),
            GitError::Failed(_) => Self::internal("answer git", &error),
        }
    }
}

/// `dropit.git` or `dropit`.
fn project(segment: &str) -> Result<ProjectName, Refusal> {
    let name = segment.strip_suffix(".git").unwrap_or(segment);
    Ok(ProjectName::from_str(name)?)
}

/// The project of a path below [`PREFIX`], as it is written there.
pub(crate) fn project_of(path: &str) -> Result<ProjectName, Refusal> {
    let below = path.strip_prefix(PREFIX).unwrap_or_default();
    project(below.split('/').next().unwrap_or_default())
}

/// Whether the client speaks version 2 of the protocol (git-protocol(5)).
fn is_version_2(headers: &HeaderMap) -> bool {
    let text = headers.get("git-protocol").and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(':').any(|part| part == "version=2")
}
