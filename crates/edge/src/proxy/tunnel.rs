//! After a 101: bytes both ways until one side ends or both are silent for too long. It knows nothing of
//! WebSocket frames. Tests: `tests/it/tunnels.rs`.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use super::Connection;
use super::buffer::{Buffer, Memory};
use super::clock::{Lane, Pace};
use super::wire::Wire;
use crate::metrics::Number;
use crate::stream::{Outgoing, ReadEnd, WriteEnd};

/// What the two directions share.
struct Both<'t> {
    wire: Wire<'t>,
    memory: &'t Memory,
    /// Deadline of the silence; either direction moves it.
    until: Cell<u64>,
}

/// Counts a tunnel as open until it is dropped, however it ends.
struct Open<'n>(&'n Number);

impl<'n> Open<'n> {
    fn new(number: &'n Number) -> Self {
        number.up();
        Self(number)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.down();
    }
}

impl Connection {
    /// Passes bytes both ways: first `early`, which the upstream sent behind its 101, and what the client sent
    /// behind its request.
    pub(super) async fn tunnel(&mut self, mut upstream: Outgoing, mut early: Buffer, buffer: &mut Buffer) {
        let worker = &*self.worker;
        let _open = Open::new(&worker.shared.metrics.tunnels);
        let wire = Wire { clock: &worker.clock, watch: &self.watch, lane: Lane::Outward };
        let both = Both { wire, memory: &worker.memory, until: Cell::new(0) };
        let idle = worker.shared.limits.tunnel_idle_timeout.duration();
        let (mut from_client, mut to_client) = self.stream.split();
        let (mut from_upstream, mut to_upstream) = upstream.split();
        both.until.set(wire.clock.after(idle));
        {
            let mut inward = pin!(pass(&both, &mut from_client, &mut to_upstream, buffer, idle));
            let mut outward = pin!(pass(&both, &mut from_upstream, &mut to_client, &mut early, idle));
            let (mut is_in_over, mut is_out_over) = (false, false);
            poll_fn(|context| {
                for (direction, is_over) in [
                    (
                        inward.as_mut() as std::pin::Pin<&mut dyn Future<Output = io::Result<()>>>,
                        &mut is_in_over,
                    ),
                    (outward.as_mut() as _, &mut is_out_over),
                ] {
                    if *is_over {
                        continue;
                    }
                    match direction.poll(context) {
                        Poll::Ready(Ok(())) => *is_over = true,
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Pending => {}
                    }
                }
                if is_in_over && is_out_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        worker.memory.give_back(early);
    }
}

/// One direction, until its source ends; then the sink is told.
async fn pass(
    both: &Both<'_>,
    from: &mut ReadEnd<'_>,
    to: &mut WriteEnd<'_>,
    first: &mut Buffer,
    idle: std::time::Duration,
) -> io::Result<()> {
    if !first.is_empty() {
        both.wire.send(to, [first.bytes()], &mut Pace::within(idle)).await?;
        first.consume(usize::MAX);
    }
    both.memory.reclaim(first);
    loop {
        poll_fn(|context| match from.poll_ready(context) {
            Poll::Ready(ready) => Poll::Ready(ready),
            Poll::Pending if both.wire.clock.now() >= both.until.get() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => {
                both.wire.watch.set(Lane::Outward, both.until.get());
                Poll::Pending
            }
        })
        .await?;
        both.until.set(both.wire.clock.after(idle));
        let mut block = both.memory.small();
        let passed = pass_once(both, from, to, &mut block, idle).await;
        both.memory.give_back(block);
        if passed? == 0 {
            return to.end();
        }
    }
}

async fn pass_once(
    both: &Both<'_>,
    from: &mut ReadEnd<'_>,
    to: &mut WriteEnd<'_>,
    block: &mut Buffer,
    idle: std::time::Duration,
) -> io::Result<usize> {
    let count = both.wire.read(from, block, u64::MAX, &mut Pace::within(idle)).await?;
    if count > 0 {
        both.wire.send(to, [block.bytes()], &mut Pace::within(idle)).await?;
    }
    Ok(count)
}
