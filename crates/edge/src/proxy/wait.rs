//! Requests that must wait before they are routed: for the check of a password, or, while a stop-first update is under
//! way, for a task. Their head stays in the buffer and is looked at again. How many are held, and how long, is
//! bounded. Tests: `tests/it/policy.rs`.

use std::pin::pin;
use std::task::Poll;

use tokio::sync::oneshot;

use super::Connection;
use super::text::Ask;
use super::upload::until_gone;
use crate::worker::Worker;

/// Most requests one worker holds: each costs its head in memory, and a look at it four times a second.
const HELD_MOST: usize = 1000;

/// What a request waits for.
#[derive(Debug)]
pub(super) enum Wait {
    /// Its password is being checked.
    Password(oneshot::Receiver<()>),
    /// A task, until this time of the worker's clock.
    Task(u64),
}

/// What a request has waited for already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Waited {
    /// It has been counted by its route.
    pub(super) is_again: bool,
    /// When the hold for a task ends.
    until: Option<u64>,
}

impl Wait {
    /// Until when a request is held that finds no task; none when it has been held long enough, or too many are.
    pub(super) fn for_task(worker: &Worker, ask: &Ask, waited: &Waited) -> Option<Self> {
        let hold = ask.pass.as_ref().map_or(DEFAULT_HOLD, |pass| pass.policy().hold());
        let until = waited.until.unwrap_or_else(|| worker.clock.now().saturating_add(millis(hold)));
        let has_room = waited.until.is_some() || worker.held.get() < HELD_MOST;
        (has_room && worker.clock.now() < until && !worker.stopping.get()).then_some(Self::Task(until))
    }
}

/// Where a route says nothing.
const DEFAULT_HOLD: std::time::Duration = havre_core::route::settings::HOLD_MOST.duration();

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The place of one held request in the count.
struct Held<'w>(&'w Worker);

impl<'w> Held<'w> {
    fn new(worker: &'w Worker) -> Self {
        worker.held.set(worker.held.get() + 1);
        Self(worker)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.set(self.0.held.get() - 1);
    }
}

impl Connection {
    /// Waits; false when the client has gone meanwhile.
    pub(super) async fn wait(&mut self, wait: Wait, waited: &mut Waited) -> bool {
        waited.is_again = true;
        let worker = &*self.worker;
        let (mut from, _) = self.stream.split();
        let mut gone = pin!(until_gone(&mut from));
        match wait {
            // A check that ends without a result (its thread is gone) is judged again like any other.
            Wait::Password(end) => tokio::select! {
                _ = end => true,
                () = &mut gone => false,
            },
            Wait::Task(until) => {
                waited.until = Some(until);
                let _held = Held::new(worker);
                let mut news = pin!(worker.news.notified());
                let mut has_news = false;
                std::future::poll_fn(|context| {
                    if gone.as_mut().poll(context).is_ready() {
                        return Poll::Ready(());
                    }
                    has_news = news.as_mut().poll(context).is_ready();
                    if has_news { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                has_news
            }
        }
    }
}
