//! Streamed answers: one JSON object on each line, an empty line where nothing happens for a while, bounded memory,
//! and an end when the client goes or the server stops. Tests: `tests/it/event.rs`, `tests/it/task.rs`.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream::BoxStream;
use havre_api::JSON_LINES;
use havre_api::error::StreamEnd;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::error::Refusal;
use crate::state::AppState;

/// Lines waiting for a slow client; each is bounded by its producer.
const WAITING_MAX: usize = 64;

/// The client is gone or does not read, or the server stops: the producer should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Why a stream ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nobody listens.
    Gone,
    /// Something went wrong; the client is told on the last line.
    Refused(Refusal),
}

impl From<Gone> for Broken {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl<E> From<E> for Broken
where
    Refusal: From<E>,
{
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Where a producer writes to.
pub(crate) struct Lines {
    sender: mpsc::Sender<Bytes>,
    /// Longest wait for a client that does not read.
    patience: Duration,
}

impl Lines {
    /// Waits until there is room, then sends one object.
    pub(crate) async fn send(&self, value: &impl Serialize) -> Result<(), Gone> {
        let mut line = serde_json::to_vec(value).expect("wire types are always JSON");
        line.push(b'\n');
        self.send_raw(line.into()).await
    }

    /// Sends complete lines as they are.
    pub(crate) async fn send_raw(&self, lines: Bytes) -> Result<(), Gone> {
        match tokio::time::timeout(self.patience, self.sender.send(lines)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// An empty line: finds out whether the client is still there.
    pub(crate) async fn keep_alive(&self) -> Result<(), Gone> {
        self.send_raw(Bytes::from_static(b"\n")).await
    }
}

/// Sends every item of a stream, and an empty line where nothing comes for a while.
pub(crate) async fn pass_on<T, E>(
    lines: &Lines,
    mut items: BoxStream<'static, Result<T, E>>,
    keep_alive: Duration,
) -> Result<(), Broken>
where
    T: Serialize,
    Refusal: From<E>,
{
    loop {
        match tokio::time::timeout(keep_alive, items.next()).await {
            Ok(Some(Ok(item))) => lines.send(&item).await?,
            Ok(Some(Err(error))) => return Err(Broken::Refused(error.into())),
            Ok(None) => return Ok(()),
            Err(_) => lines.keep_alive().await?,
        }
    }
}

/// An answer whose lines `produce` makes. Takes one of the bounded number of streams until it ends.
pub(crate) fn respond<F>(
    state: &AppState,
    produce: impl FnOnce(Lines) -> F + Send + 'static,
) -> Result<Response, Refusal>
where
    F: Future<Output = Result<(), Broken>> + Send + 'static,
{
    let slot = state.slot()?;
    let stop = state.stop.clone();
    let patience = state.limits.slow_client;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        let lines = Lines { sender: sender.clone(), patience };
        let ended = tokio::select! {
            ended = produce(lines) => ended,
            () = stop.cancelled() => Ok(()),
            () = sender.closed() => Ok(()),
        };
        if let Err(Broken::Refused(refusal)) = ended {
            let last = Lines { sender, patience };
            // Whether somebody still reads it makes no difference here.
            let _ = last.send(&StreamEnd { error: refusal.body() }).await;
        }
        drop(slot);
    });
    let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>));
    let headers = [(http::header::CONTENT_TYPE, JSON_LINES), (http::header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}
