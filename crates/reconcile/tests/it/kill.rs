//! A control process that is killed: polled so often and no more, and all it started dies with it.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls a future a number of times, then gives up on it: whoever drops it there has been killed there.
pub(crate) struct Killed<F> {
    pub(crate) future: Pin<Box<F>>,
    pub(crate) polls: usize,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}

/// Runs one incarnation of control; everything it started dies with its runtime.
pub(crate) fn incarnation<T>(f: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(f())
}
