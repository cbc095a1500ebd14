//! Runs one piece of work on a runtime of its own, on a thread of its own.
//! A build has connections that are served in background tasks: that of its session, and those of the client library, which
//! nothing else ends. When a runtime goes, all its tasks go, so that no build leaves one open, here or in Docker. Tests in
//! `tests/it/docker.rs`.

use crate::builder::BuildError;

/// Runs the future that `work` makes. Give it a way to end early: dropping the answer does not end it.
pub(super) async fn isolated<T, F, W>(what: &'static str, work: W) -> Result<T, BuildError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, BuildError>>,
    W: FnOnce() -> F + Send + 'static,
{
    let thread = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| BuildError::failed(what, error))?.block_on(work())
    };
    tokio::task::spawn_blocking(thread).await.map_err(|error| BuildError::failed(what, error))?
}
