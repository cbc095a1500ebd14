//! The server of Git LFS beside each repository, `/git/{repository}/info/lfs`: where contents go that are pushed with `git push`, and where they are
//! fetched from. What is asked and answered is read and made in `havre_decide::source::lfs::batch`; the contents themselves are the daemon's. No
//! locks. Refusals have the form that `git lfs` shows. Tests: `tests/it/lfs.rs`.

pub(crate) mod batch;
pub(crate) mod content;
pub(crate) mod grant;
pub(crate) mod lock;
pub(crate) mod verify;

use axum::response::{IntoResponse, Response};
use havre_core::name::ProjectName;
use havre_core::pipeline::status::PublicUrl;
use havre_core::source::RemoteUrl;
use havre_decide::source::lfs::MEDIA_TYPE;
use havre_decide::source::lfs::batch::BatchError;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::error::{Code, Refusal};
use crate::state::AppState;

/// A refusal as `git lfs` shows it: one message (git-lfs, "Response Errors").
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
        let Refusal { message, hint, .. } = self.0;
        let message = if hint.is_empty() { message } else { format!("{message}: {hint}") };
        reply(status, &json!({ "message": message }))
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        let text = error.to_string();
        match error {
            BatchError::TooLarge => Self::new(Code::BodyTooLarge, text),
            BatchError::Malformed(_)
            | BatchError::Operation
            | BatchError::Transfer
            | BatchError::Hash
            | BatchError::Oid => Self::new(Code::PushRefused, text),
        }
    }
}

fn reply(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response()
}

/// The address of the server of Git LFS of a project, as whoever asks reaches it: at the host it has named. That it is HTTPS is known where this
/// is the public address of this installation, or where a proxy says so; it is told to nobody but the one who asks.
fn address(state: &AppState, headers: &HeaderMap, project: &ProjectName) -> Result<String, Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.to_ascii_lowercase();
    if let Some(url) = state.public_url.as_ref().filter(|url| authority(url) == host) {
        return Ok(public_address(url, project));
    }
    let is_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
    let origin = format!("{}://{host}", if is_https { "https" } else { "http" });
    // The grammar of remote repositories, which must have a path.
    let is_host = format!("{origin}/git").parse::<RemoteUrl>().is_ok_and(|url| url.origin() == origin);
    if !is_host {
        let message = "the request does not name this server in its header Host";
        return Err(Refusal::new(Code::BodyInvalid, message).hint("a proxy in between must pass it on"));
    }
    Ok(format!("{origin}{}", path(project)))
}

fn public_address(url: &PublicUrl, project: &ProjectName) -> String {
    format!("{url}{}", path(project))
}

fn path(project: &ProjectName) -> String {
    format!("{}{project}.git/info/lfs", super::PREFIX)
}

/// Host and port of the public address.
fn authority(url: &PublicUrl) -> &str {
    let rest = url.as_str().split_once("://").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}
