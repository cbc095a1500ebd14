//! Serves a router on a listener: bounded connections, bounded time for request heads, and a graceful end.
//! Tests: `tests/it/serve.rs`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for the head of a request, the idle time between two requests included.
const HEAD: Duration = Duration::from_secs(30);
/// Largest head of a request.
const HEAD_MAX: usize = 64 * 1024;
/// Longest wait for open requests once the server stops; streams end by themselves before.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// Serves `router` until `stop`; then takes no more connections and waits a while for open requests.
/// At most `connections` are open at once, others wait in the listener's queue.
pub async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    connections: usize,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(connections));
    let tracker = TaskTracker::new();
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
            () = stop.cancelled() => break,
        };
        // Errors of accept are handled by the listener: it waits and goes on.
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let router = router.clone();
        let stop = stop.clone();
        tracker.spawn(async move {
            answer(stream, router, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(LAST_REQUESTS, tracker.wait()).await.is_err() {
        tracing::warn!("some requests were still open when the server stopped");
    }
}

async fn answer<S>(stream: S, router: Router, stop: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_MAX);
    let service = TowerToHyperService::new(router);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // Errors here are those of clients that went away or spoke no HTTP: nothing anybody has to act on.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
