//! `POST /git/{repository}/git-upload-pack` and `git-receive-pack`: one exchange, streamed both ways. What a push has
//! moved is noted even if the client has gone by then. Tests: `tests/it/git.rs`.

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::source::BranchName;
use http::header;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::read_body;
use crate::git::gateway::{Exchange, Verb};
use crate::git::{Told, feedback, is_version_2, project};
use crate::state::AppState;

/// Chunks on their way, each way.
const CHUNKS: usize = 16;
/// Longest silence of a client of SSH. It keeps its side open, and says nothing, until git has unpacked and answered what it has sent;
/// one that has gone is noticed by sshd, which ends the program behind it. No exchange lasts longer.
const SSH_SILENCE: Duration = Duration::from_secs(60 * 60);
/// Largest compressed request; only those of a fetch are compressed, and they list commits.
const PACKED_MAX: usize = 8 * 1024 * 1024;
/// Largest such request unpacked.
const UNPACKED_MAX: u64 = 64 * 1024 * 1024;

/// Fetch from a repository.
#[utoipa::path(post, path = "/git/{repository}/git-upload-pack", tag = "git", operation_id = "git_fetch",
    params(("repository" = String, Path, example = "dropit.git")),
    request_body(content = Vec<u8>, content_type = "application/x-git-upload-pack-request"),
    responses((status = 200, content_type = "application/x-git-upload-pack-result", body = Vec<u8>)))]
pub(crate) async fn fetch(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Told> {
    answer(&state, actor, project(&repository)?, Verb::Fetch, request).await
}

/// Push to a repository: what follows is told on the way, and goes on when the client leaves.
#[utoipa::path(post, path = "/git/{repository}/git-receive-pack", tag = "git", operation_id = "git_push",
    params(("repository" = String, Path, example = "dropit.git")),
    request_body(content = Vec<u8>, content_type = "application/x-git-receive-pack-request"),
    responses((status = 200, content_type = "application/x-git-receive-pack-result", body = Vec<u8>)))]
pub(crate) async fn push(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Told> {
    answer(&state, actor, project(&repository)?, Verb::Push, request).await
}

async fn answer(
    state: &AppState,
    actor: Actor,
    project: ProjectName,
    verb: Verb,
    request: Request,
) -> Result<Response, Told> {
    let slot = state.slot()?;
    let protected = match verb {
        Verb::Push => protected(state, project.clone()).await?,
        Verb::Fetch => Vec::new(),
    };
    let is_version_2 = is_version_2(request.headers());
    let (sender, input) = mpsc::channel(CHUNKS);
    if is_packed(&request)? {
        let packed = read_body(request, PACKED_MAX).await?;
        let unpacked = unpack(&packed)?;
        sender.try_send(Ok(unpacked)).expect("the channel is new and has room");
    } else {
        let silence = match &actor {
            Actor::SshKey { .. } => SSH_SILENCE,
            _ => state.limits.upload_silence,
        };
        tokio::spawn(feed(silence, request.into_body(), sender));
    }
    let (output, answer) = mpsc::channel::<Bytes>(CHUNKS);
    let (pushed, was_pushed) = oneshot::channel();
    let (say, messages) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let exchange = Exchange {
        project: project.clone(),
        verb,
        is_version_2,
        protected,
        input,
        output,
        pushed,
        messages,
        cancel,
    };
    // Not tied to the answer: a client that leaves does not undo what git has taken.
    let inner = state.clone();
    tokio::spawn(async move {
        if let Ok(pushed) = was_pushed.await {
            feedback::tell(&inner, actor, &project, pushed, say).await;
        }
    });
    let gateway = state.git.clone();
    tokio::spawn(async move {
        if let Err(error) = gateway.exchange(exchange).await {
            tracing::warn!(%error, "an exchange with git broke off");
        }
        drop(slot);
    });
    let body = Body::from_stream(ReceiverStream::new(answer).map(Ok::<_, Infallible>));
    let kind = format!("application/x-{}-result", verb.name());
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache".to_owned())], body).into_response())
}

/// Branches that a push to this project may neither remove nor rewrite.
async fn protected(state: &AppState, project: ProjectName) -> Result<Vec<BranchName>, Refusal> {
    Ok(state.store.read(move |view| view.list_protected_branches(&project)).await?)
}

/// Passes the body on as it comes; a client that falls silent or leaves ends it with an error.
pub(super) async fn feed(silence: Duration, body: Body, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut chunks = body.into_data_stream();
    loop {
        let chunk = match tokio::time::timeout(silence, chunks.next()).await {
            Ok(None) => return,
            Ok(Some(Ok(chunk))) => Ok(chunk),
            Ok(Some(Err(_))) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let is_over = chunk.is_err();
        if sender.send(chunk).await.is_err() || is_over {
            return;
        }
    }
}

fn is_packed(request: &Request) -> Result<bool, Refusal> {
    match request.headers().get(header::CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(_) => Err(Refusal::new(Code::BodyInvalid, "a request may be packed with gzip only")),
    }
}

fn unpack(packed: &[u8]) -> Result<Bytes, Refusal> {
    let mut unpacked = Vec::new();
    let read = flate2::read::GzDecoder::new(packed).take(UNPACKED_MAX + 1).read_to_end(&mut unpacked);
    match read {
        Ok(count) if count as u64 <= UNPACKED_MAX => Ok(unpacked.into()),
        Ok(_) => Err(Refusal::new(Code::BodyTooLarge, "the request is too large once it is unpacked")),
        Err(_) => {
            Err(Refusal::new(Code::BodyInvalid, "the request is not packed with gzip, though it says so"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn requests_are_unpacked_within_a_limit() {
        let pack = |count: u64| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            for _ in 0..count {
                writer.write_all(&[0; 1024 * 1024]).expect("memory takes it");
            }
            writer.finish().expect("memory takes it")
        };
        assert_eq!(unpack(&pack(1)).expect("is small").len(), 1024 * 1024);
        assert_eq!(unpack(&pack(65)).expect_err("is a bomb").code, Code::BodyTooLarge);
        assert_eq!(unpack(b"plain").expect_err("is not packed").code, Code::BodyInvalid);
    }
}
