//! Answers as frames: data as it comes, a frame that means nothing where nothing comes for a while, and a last one that says whether all of it
//! was there. Bounded memory; an end when the client goes or the server stops. Tests: `tests/it/copy_stream.rs`.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream::BoxStream;
use havre_api::frame::{Encoder, FRAMES, KEEP_ALIVE};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::error::{Code, Refusal};
use crate::state::AppState;
use crate::task::streams::TaskStreamError;

/// Frames waiting for a slow client.
const WAITING_MAX: usize = 16;

/// What a program writes.
pub(super) type Pieces = BoxStream<'static, Result<Bytes, TaskStreamError>>;

/// An answer that passes it on. Takes one of the bounded number of streams until it ends.
pub(super) fn respond(state: &AppState, pieces: Pieces) -> Result<Response, Refusal> {
    let slot = state.slot()?;
    let stop = state.stop.clone();
    let (keep_alive, patience) = (state.limits.keep_alive, state.limits.slow_client);
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        let last = tokio::select! {
            last = carry(&sender, pieces, (keep_alive, patience)) => last,
            () = stop.cancelled() => {
                Some(Encoder::failed(&Refusal::new(Code::Unavailable, "the server is stopping").body()))
            }
            () = sender.closed() => None,
        };
        if let Some(last) = last {
            // Whether somebody still reads it makes no difference here.
            let _ = tokio::time::timeout(patience, sender.send(Bytes::from(last))).await;
        }
        drop(slot);
    });
    let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>));
    let headers = [(http::header::CONTENT_TYPE, FRAMES), (http::header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// The last frame; `None` where the client is gone or does not read.
async fn carry(
    sender: &mpsc::Sender<Bytes>,
    mut pieces: Pieces,
    (keep_alive, patience): (Duration, Duration),
) -> Option<Vec<u8>> {
    let mut encoder = Encoder::default();
    loop {
        let frame = match tokio::time::timeout(keep_alive, pieces.next()).await {
            Ok(Some(Ok(bytes))) => Bytes::from(encoder.data(&bytes)),
            Ok(Some(Err(error))) => return Some(Encoder::failed(&Refusal::from(error).body())),
            Ok(None) => return Some(encoder.end()),
            Err(_) => Bytes::from_static(&KEEP_ALIVE),
        };
        match tokio::time::timeout(patience, sender.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}
