//! The data path: one client connection from its first byte to its last. `receive` turns bytes into a routed
//! request without waiting; `exchange` takes it to an upstream, `answer` brings the answer back, `reply` gives the
//! answers the edge has itself. Tests: `tests/it/`.

mod answer;
mod buffer;
mod clock;
mod exchange;
mod receive;
mod reply;
mod squeeze;
mod text;
mod tunnel;
mod upload;
mod wait;
mod wire;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

pub(crate) use buffer::Memory;
use buffer::{Buffer, SMALL};
pub(crate) use clock::{Clock, Lane, Pace, Watch, Watches};
use receive::Received;
use text::Ask;
pub(crate) use text::{ClientName, RequestId, number};
use wait::Waited;
pub(crate) use wire::{Pipes, Wire};

use crate::account::record::Entry;
use crate::h2::H2Stream;
use crate::stream::Stream;
use crate::worker::{Seat, Worker};
use havre_http::h1::{Framing, Refusal};
use havre_http::page::Trouble;

/// Most bytes of a body nobody wants that are read to keep the connection; beyond that it is closed.
const DRAIN_MOST: u64 = 64 * 1024;

/// Longest time a closing connection is read from, so that the client sees the answer before the reset that
/// unread bytes would cause.
const LINGER: Duration = Duration::from_secs(2);

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// It takes the next request.
    Next,
    /// It is closed; everything sent has been read.
    Close,
    /// It is closed although the client may still be sending.
    Linger,
    /// It is reset: the answer was cut, and nothing else would tell the client.
    Reset,
}

/// One client connection.
#[derive(Debug)]
struct Connection {
    worker: Rc<Worker>,
    stream: Stream,
    watch: Rc<Watch>,
    ticket: usize,
    client: Rc<ClientName>,
    /// The request being served.
    entry: Option<Entry>,
    /// A stream has none of its own: its connection does.
    _seat: Option<Seat>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.watches.leave(self.ticket);
    }
}

/// Serves one client connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, stream: Stream, client: ClientName, seat: Seat) {
    let mut connection = Connection::begin(worker, stream, Rc::new(client), Some(seat)).await;
    while connection.is_next_coming().await {
        // Boxed, so that a resting connection is small: this future holds everything a request needs.
        match Box::pin(connection.serve_burst()).await {
            After::Next => {}
            After::Close => break,
            After::Linger => return connection.linger().await,
            After::Reset => return connection.stream.reset_on_close(),
        }
    }
    connection.stream.bid_farewell();
}

/// Serves the one request of a stream of HTTP/2, whose head as text is `head`, or says why it is refused. Returns
/// whether the client gave it up.
pub(crate) async fn serve_stream(
    worker: Rc<Worker>,
    stream: H2Stream,
    head: Result<Vec<u8>, Refusal>,
    client: Rc<ClientName>,
) -> bool {
    let is_gone = poll_fn(|context| Poll::Ready(stream.poll_gone(context).is_ready())).await;
    if is_gone {
        // Given up in the same breath: nobody is asked.
        return true;
    }
    let mut connection = Connection::begin(worker, Stream::H2(Box::new(stream)), client, None).await;
    connection.serve_one(head).await
}

impl Connection {
    async fn begin(worker: Rc<Worker>, stream: Stream, client: Rc<ClientName>, seat: Option<Seat>) -> Self {
        let (ticket, watch) = worker.watches.join();
        poll_fn(|context| {
            watch.belongs_to(context.waker());
            Poll::Ready(())
        })
        .await;
        Self { worker, stream, watch, ticket, client, entry: None, _seat: seat }
    }

    /// Serves one request and ends what it came on.
    async fn serve_one(&mut self, head: Result<Vec<u8>, Refusal>) -> bool {
        let mut buffer = Buffer::default();
        let mut waited = Waited::default();
        let after = loop {
            let received = match &head {
                Ok(head) => self.receive_head(head, &waited),
                Err(refusal) => Err(*refusal),
            };
            break match received {
                Ok(Received::Request(mut request)) => self.exchange(&mut request, &mut buffer).await,
                Ok(Received::Own(ask, answer)) => self.reply(&ask, *answer, &mut buffer).await,
                Ok(Received::Wait(wait)) => {
                    // Boxed: next to no request waits.
                    if Box::pin(self.wait(wait, &mut waited)).await {
                        continue;
                    }
                    After::Close
                }
                Ok(Received::Refused(refusal)) | Err(refusal) => self.refuse(refusal).await,
                Ok(Received::More) => self.refuse(Refusal::Syntax).await,
            };
        };
        // Counts it and writes its line.
        self.entry = None;
        self.worker.memory.give_back(buffer);
        if let Ok(head) = head {
            self.worker.memory.give_back_head(head);
        }
        let was_given_up = poll_fn(|context| Poll::Ready(self.stream.is_given_up(context))).await;
        if after == After::Reset {
            self.stream.reset_on_close();
        } else {
            // It says how it ended; there is nobody else to tell.
            let _ = self.stream.end();
        }
        was_given_up
    }

    /// What the access log calls what the client speaks.
    fn protocol(&self) -> &'static str {
        if self.stream.is_h2() { "h2" } else { "http/1.1" }
    }

    fn wire(&self, lane: Lane) -> Wire<'_> {
        Wire { clock: &self.worker.clock, watch: &self.watch, lane }
    }

    /// Waits for the next request without holding any memory; false when none is to come.
    async fn is_next_coming(&self) -> bool {
        let mut pace = Pace::within(self.worker.shared.limits.idle_timeout.duration());
        let ready = self
            .wire(Lane::Inward)
            .paced(&mut pace, |context, _| match self.stream.poll_ready(context) {
                Poll::Pending if !self.worker.may_rest() => Poll::Ready(Ok(false)),
                ready => ready.map_ok(|()| true),
            })
            .await;
        ready.unwrap_or(false)
    }

    /// Serves requests until the connection rests ([`After::Next`]) or ends.
    async fn serve_burst(&mut self) -> After {
        let mut buffer = self.worker.memory.small();
        let after = self.serve_requests(&mut buffer).await;
        self.worker.memory.give_back(buffer);
        after
    }

    async fn serve_requests(&mut self, buffer: &mut Buffer) -> After {
        let limits = &self.worker.shared.limits;
        let (head_timeout, head_size) = (limits.head_timeout.duration(), limits.head_size.as_bytes());
        let head_size = usize::try_from(head_size).unwrap_or(SMALL);
        let mut pace = Pace::within(head_timeout);
        let mut scanned = 0;
        let mut waited = Waited::default();
        loop {
            let after = match self.receive(buffer, &mut scanned, &waited) {
                Received::More if buffer.is_empty() => {
                    // A new socket counts as ready until it is tried.
                    let (mut from, _) = self.stream.split();
                    match Wire::read_now(&mut from, buffer).await {
                        Ok(None) => return After::Next,
                        Ok(Some(1..)) => continue,
                        Ok(Some(0)) | Err(_) => return After::Close,
                    }
                }
                Received::More => match self.read_more(buffer, head_size, &mut pace).await {
                    Ok(()) => continue,
                    Err(None) => return After::Close,
                    Err(Some(refusal)) => self.refuse(refusal).await,
                },
                Received::Refused(refusal) => self.refuse(refusal).await,
                Received::Own(ask, answer) => self.reply(&ask, *answer, buffer).await,
                Received::Wait(wait) => {
                    // Boxed: next to no request waits.
                    if Box::pin(self.wait(wait, &mut waited)).await {
                        continue;
                    }
                    After::Close
                }
                Received::Request(mut request) => self.exchange(&mut request, buffer).await,
            };
            // Counts it and writes its line.
            self.entry = None;
            if after != After::Next || buffer.is_empty() {
                return after;
            }
            pace = Pace::within(head_timeout);
            scanned = 0;
            waited = Waited::default();
        }
    }

    /// Reads more of a head. `Err(None)`: the client is gone or never began.
    async fn read_more(
        &mut self,
        buffer: &mut Buffer,
        head_size: usize,
        pace: &mut Pace,
    ) -> Result<(), Option<Refusal>> {
        let length = buffer.len();
        if length >= head_size || !buffer.make_room(head_size) {
            let is_line = memchr::memchr(b'\n', buffer.bytes()).is_some();
            return Err(Some(if is_line { Refusal::LongHead } else { Refusal::LongTarget }));
        }
        let wire = Wire { clock: &self.worker.clock, watch: &self.watch, lane: Lane::Inward };
        let (mut from, _) = self.stream.split();
        match wire.read(&mut from, buffer, u64::MAX, pace).await {
            Ok(0) => Err(None),
            Ok(_) => Ok(()),
            Err(problem) if problem.kind() == std::io::ErrorKind::TimedOut && length > 0 => {
                Err(Some(Refusal::HeadTimeout))
            }
            Err(_) => Err(None),
        }
    }

    /// Answers a request whose head or framing cannot be trusted, and ends the connection.
    async fn refuse(&mut self, refusal: Refusal) -> After {
        self.worker.shared.metrics.refused.up();
        if self.entry.is_none() {
            self.entry = Some(self.worker.desk.open(self.protocol(), self.client.address));
        }
        let ask = Ask {
            is_head: false,
            is_http10: false,
            is_h2: self.stream.is_h2(),
            keep_alive: false,
            as_page: false,
            expects_continue: false,
            show_release: false,
            is_probe: false,
            framing: Framing::Empty,
            id: self.worker.next_id(),
            pass: None,
            hsts: None,
        };
        if let Some(entry) = &mut self.entry {
            entry.set_id(ask.id);
        }
        self.send_page(&ask, Trouble::Refused(refusal), false).await;
        After::Linger
    }

    /// Says in the access log why there is no whole answer.
    fn because(&mut self, reason: &'static str) {
        if let Some(entry) = &mut self.entry {
            entry.reason = reason;
        }
    }

    /// Reads and forgets the rest of a body of known length; false when the client fails to send it.
    async fn drain(&mut self, mut left: u64, buffer: &mut Buffer) -> bool {
        let limits = &self.worker.shared.limits;
        let mut pace = Pace::of(limits.body_period.duration(), limits.body_progress.as_bytes());
        let wire = Wire { clock: &self.worker.clock, watch: &self.watch, lane: Lane::Inward };
        let (mut from, _) = self.stream.split();
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            buffer.consume(here);
            left -= here as u64;
            if left == 0 {
                return true;
            }
            self.worker.memory.provide(buffer);
            if !matches!(wire.read(&mut from, buffer, left, &mut pace).await, Ok(1..)) {
                return false;
            }
        }
    }

    /// Says that nothing more comes, then reads for a short while what the client still sends.
    async fn linger(&mut self) {
        if self.stream.end().is_err() {
            return;
        }
        let mut pace = Pace::within(LINGER);
        let mut buffer = self.worker.memory.small();
        let wire = Wire { clock: &self.worker.clock, watch: &self.watch, lane: Lane::Inward };
        let (mut from, _) = self.stream.split();
        let mut left = 4 * DRAIN_MOST;
        while left > 0 {
            match wire.read(&mut from, &mut buffer, left, &mut pace).await {
                Ok(count @ 1..) => left = left.saturating_sub(count as u64),
                _ => break,
            }
            buffer.consume(usize::MAX);
        }
        self.worker.memory.give_back(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_resting<F>(_: fn(Rc<Worker>, Stream, ClientName, Seat) -> F) -> usize {
        size_of::<F>()
    }

    fn size_of_burst<'c, F>(_: fn(&'c mut Connection) -> F) -> usize {
        size_of::<F>()
    }

    /// A resting connection holds the first of these, one that is being served both. Growth here is memory for
    /// every connection, and time to move it for every request.
    #[test]
    fn what_a_connection_holds_is_small() {
        let (resting, burst) = (size_of_resting(serve), size_of_burst(Connection::serve_burst));
        assert!(resting <= 752, "{resting}");
        assert!(burst <= 3072, "{burst}");
    }
}
