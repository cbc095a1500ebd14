//! One HTTP/2 connection: takes its streams, gives each a task, keeps its deadlines and says goodbye. What a stream
//! asks for is not known here. Tests: `tests/it/h2_*.rs`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ledger::Ledger;
use super::{
    CONNECTION_WINDOW, H2Stream, HEADER_LIST, MOST_ERRORS, MOST_PENDING_RESETS, MOST_STREAMS, SEND_BUFFER,
    STREAM_WINDOW, request,
};
use crate::proxy::{self, ClientName, Lane, Pace, Watch};
use crate::stream::Stream;
use crate::worker::{Seat, Worker};

/// Longest wait for a client to leave after it was told to.
const GOODBYE: Duration = Duration::from_secs(5);

/// Where the kind of the first frame stands: behind the preface and the length of the frame.
const FIRST_KIND: u64 = 24 + 3;
/// Kind of a SETTINGS frame.
const SETTINGS: u8 = 4;

/// Serves one connection until it ends; `stream` carries HTTP/2 from its first byte.
pub(crate) async fn serve(worker: Rc<Worker>, stream: Stream, client: ClientName, seat: Seat) {
    let (ticket, watch) = worker.watches.join();
    let leave = Leave { worker: Rc::clone(&worker), ticket, _seat: seat };
    poll_fn(|context| {
        watch.belongs_to(context.waker());
        Poll::Ready(())
    })
    .await;
    let ledger = Rc::new(Ledger::new(stream.name(), worker.clock.now()));
    let io = Io {
        stream,
        ledger: Rc::clone(&ledger),
        worker: Rc::clone(&worker),
        watch: Rc::clone(&watch),
        pace: pace(&worker),
    };
    let mut greeting = Box::pin(builder().handshake::<_, Bytes>(io));
    let mut head_pace = Pace::within(worker.shared.limits.head_timeout.duration());
    let greeted = poll_fn(|context| match greeting.as_mut().poll(context) {
        Poll::Ready(greeted) => Poll::Ready(greeted.ok()),
        // The greeting may be on its way, as a request on a resting connection may.
        Poll::Pending if !worker.may_rest() => Poll::Ready(None),
        Poll::Pending if head_pace.may_wait(&worker.clock, &watch, Lane::Inward) => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
    })
    .await;
    watch.clear(Lane::Inward);
    drop(greeting);
    let Some(connection) = greeted else { return };
    let client = Rc::new(client);
    let mut life =
        Life { worker: &worker, watch: &watch, ledger: &ledger, client, connection, goodbye: None };
    poll_fn(|context| life.poll(context)).await;
    drop(life);
    drop(leave);
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(HEADER_LIST)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MOST_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MOST_ERRORS))
        .enable_connect_protocol();
    builder
}

/// How fast a client must take what is sent to it.
fn pace(worker: &Worker) -> Pace {
    let limits = &worker.shared.limits;
    Pace::of(limits.body_period.duration(), limits.body_progress.as_bytes())
}

/// Gives up the places of a connection.
struct Leave {
    worker: Rc<Worker>,
    ticket: usize,
    _seat: Seat,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.worker.watches.leave(self.ticket);
    }
}

/// A connection after its greeting.
struct Life<'l> {
    worker: &'l Rc<Worker>,
    watch: &'l Watch,
    ledger: &'l Rc<Ledger>,
    client: Rc<ClientName>,
    connection: Connection<Io, Bytes>,
    /// The client was told to leave; when it is rested until then, the connection is closed.
    goodbye: Option<u64>,
}

impl Life<'_> {
    /// Ready when the connection is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => {
                    let Some(is_news) = self.look_at_the_time() else { return Poll::Ready(()) };
                    if !is_news {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Keeps the deadlines; true when the connection has something more to do, none when it is over.
    fn look_at_the_time(&mut self) -> Option<bool> {
        let now = self.worker.clock.now();
        if self.ledger.is_overdrawn() && self.goodbye != Some(0) {
            self.goodbye = Some(0);
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            return Some(true);
        }
        if self.worker.stopping.get() && self.goodbye.is_none() {
            return Some(self.say_goodbye());
        }
        let Some(since) = self.ledger.rests_since() else {
            self.watch.clear(Lane::Inward);
            return Some(false);
        };
        let deadline = match self.goodbye {
            Some(goodbye) => goodbye,
            None => since.saturating_add(millis(self.worker.shared.limits.idle_timeout.duration())),
        };
        if now < deadline {
            self.watch.set(Lane::Inward, deadline);
            return Some(false);
        }
        if self.goodbye.is_some() { None } else { Some(self.say_goodbye()) }
    }

    fn say_goodbye(&mut self) -> bool {
        let wait = self.worker.shared.limits.stop_timeout.duration().min(GOODBYE);
        self.goodbye = Some(self.worker.clock.after(wait));
        self.connection.graceful_shutdown();
        true
    }

    /// Gives a stream its task.
    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let worker = Rc::clone(self.worker);
        let mut head = worker.memory.head();
        let written = request::write(&mut head, &parts, !body.is_end_stream(), worker.next_number());
        self.ledger.begin_stream();
        self.ledger.carry(head.len());
        let stream = H2Stream::new(body, respond, parts.method == Method::HEAD, Rc::clone(self.ledger));
        let (client, ledger) = (Rc::clone(&self.client), Rc::clone(self.ledger));
        tokio::task::spawn_local(async move {
            let was_cancelled =
                proxy::serve_stream(Rc::clone(&worker), stream, written.map(|()| head), client).await;
            ledger.end_stream(worker.clock.now(), was_cancelled);
        });
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The bytes below HTTP/2: counts what comes, and ends a connection whose client takes nothing.
struct Io {
    stream: Stream,
    ledger: Rc<Ledger>,
    worker: Rc<Worker>,
    watch: Rc<Watch>,
    pace: Pace,
}

impl Io {
    /// Passes on the outcome of a write; a wait that lasts too long becomes an error.
    fn paced<T>(&mut self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending if self.pace.may_wait(&self.worker.clock, &self.watch, Lane::Outward) => {
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = space.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, space);
        let came = &space.filled()[before..];
        let at = self.ledger.receive(came.len());
        // RFC 9113, 3.4: settings come first. The library takes any frame.
        let first_kind = FIRST_KIND.checked_sub(at).and_then(|at| came.get(usize::try_from(at).ok()?));
        match first_kind {
            Some(kind) if *kind != SETTINGS => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            _ => outcome,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        let outcome = self.paced(outcome);
        outcome.map_ok(|count| self.pace.count(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        let outcome = self.paced(outcome);
        outcome.map_ok(|count| self.pace.count(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        let outcome = self.paced(outcome);
        if matches!(outcome, Poll::Ready(Ok(()))) {
            // Everything is out: the next wait is about something new.
            self.pace.restart();
            self.watch.clear(Lane::Outward);
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.paced(outcome)
    }
}
