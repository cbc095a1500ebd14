//! `PUT` and `GET /git/{repository}/info/lfs/objects/{oid}`: one content, streamed (git-lfs, "Basic Transfer API"). Tests: `tests/it/lfs.rs`.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use havre_decide::source::lfs::batch::{OBJECT_MAX, parse_oid};
use http::{StatusCode, header};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::Told;
use crate::error::{Code, Refusal};
use crate::git::exchange::feed;
use crate::git::project;
use crate::state::AppState;

/// Chunks on their way.
const CHUNKS: usize = 16;

/// Push a content of Git LFS; it is compared with its name.
#[utoipa::path(put, path = "/git/{repository}/info/lfs/objects/{oid}", tag = "git", operation_id = "lfs_put",
    params(("repository" = String, Path, example = "dropit.git"), ("oid" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200)))]
pub(crate) async fn put(
    State(state): State<AppState>,
    Path((repository, oid)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Told> {
    let (project, oid) = (project(&repository)?, parse_oid(&oid)?);
    let bytes = length(&request)?;
    let _slot = state.slot()?;
    let (sender, input) = mpsc::channel(CHUNKS);
    tokio::spawn(feed(state.limits.upload_silence, request.into_body(), sender));
    state.git.take_content(&project, (&oid, bytes), input).await?;
    Ok(StatusCode::OK)
}

/// Room is looked for before a byte is taken, so it has to be said how many come.
fn length(request: &Request) -> Result<u64, Refusal> {
    let said =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes: u64 = said.ok_or_else(|| {
        Refusal::new(Code::BodyInvalid, "the request does not say with Content-Length how many bytes come")
    })?;
    if bytes > OBJECT_MAX.as_bytes() {
        return Err(Refusal::new(Code::BodyTooLarge, format!("one content may have at most {OBJECT_MAX}")));
    }
    Ok(bytes)
}

/// Fetch a content of Git LFS.
#[utoipa::path(get, path = "/git/{repository}/info/lfs/objects/{oid}", tag = "git", operation_id = "lfs_get",
    params(("repository" = String, Path, example = "dropit.git"), ("oid" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
pub(crate) async fn get(
    State(state): State<AppState>,
    Path((repository, oid)): Path<(String, String)>,
) -> Result<Response, Told> {
    let (project, oid) = (project(&repository)?, parse_oid(&oid)?);
    let slot = state.slot()?;
    let content = state.git.give_content(&project, &oid).await?.ok_or_else(|| {
        Refusal::new(
            Code::ContentNotFound,
            format!("the content {} was not pushed to this server", oid.hex()),
        )
        .hint("whoever has it runs `git lfs push --all`")
    })?;
    let length = content.bytes.to_string();
    let chunks = ReceiverStream::new(content.chunks).map(move |chunk| {
        // Given back when the last chunk has gone, or its reader.
        let _held = &slot;
        chunk
    });
    let kind = "application/octet-stream".to_owned();
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_LENGTH, length)];
    Ok((headers, Body::from_stream(chunks)).into_response())
}
