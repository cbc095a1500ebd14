//! The way in: the rest of a request's body from the client to the upstream, validated and with bounded memory,
//! while the answer may already be coming back. Tests: `tests/it/bodies.rs`, `tests/it/slow.rs`.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use super::DRAIN_MOST;
use super::buffer::Buffer;
use super::clock::Pace;
use super::receive::Request;
use super::wire::{Broken, Wire};
use crate::stream::{ReadEnd, WriteEnd};
use crate::worker::Worker;
use havre_http::h1::Refusal;
use havre_http::h1::body::Source;

/// Bodies with at least this much to come move inside the kernel.
pub(super) const SPLICE_LEAST: u64 = 64 * 1024;

/// The length of a body is not known.
const UNKNOWN: u64 = u64::MAX;

/// How far the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// Some of it is still to come.
    Running,
    /// The upstream has all of it.
    Done,
    /// The upstream takes no more.
    Broken,
}

/// What the two directions of one exchange tell each other.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) upload: Cell<Upload>,
    /// Bytes of the body that were not taken from the client's buffer or socket; [`UNKNOWN`] for chunks.
    left: Cell<u64>,
    /// Something of the upstream's answer has arrived.
    pub(super) heard: Cell<bool>,
    /// Something of the final answer may have gone to the client.
    pub(super) began: Cell<bool>,
    /// Status of the final answer.
    pub(super) status: Cell<u16>,
    /// Bytes of its body that have gone to the client.
    pub(super) sent: Cell<u64>,
}

impl Flow {
    pub(super) fn of(source: &Source) -> Self {
        let upload = if source.is_done() { Upload::Done } else { Upload::Running };
        Self {
            upload: Cell::new(upload),
            left: Cell::new(left_of(source)),
            heard: Cell::new(false),
            began: Cell::new(false),
            status: Cell::new(0),
            sent: Cell::new(0),
        }
    }

    /// Counts bytes of the answer's body.
    pub(super) fn has_sent(&self, count: usize) {
        self.sent.set(self.sent.get() + count as u64);
    }

    /// What must still be read from the client before its next request; `None` if that is not known.
    pub(super) fn left(&self) -> Option<u64> {
        match (self.upload.get(), self.left.get()) {
            (Upload::Done, _) => Some(0),
            (_, UNKNOWN) => None,
            (_, left) => Some(left),
        }
    }

    /// Whether the client's connection can be kept by reading the rest of the body away.
    pub(super) fn can_keep(&self, expects_continue: bool) -> bool {
        match self.left() {
            Some(0) => true,
            Some(left) => left <= DRAIN_MOST && !expects_continue,
            None => false,
        }
    }
}

fn left_of(source: &Source) -> u64 {
    match source {
        Source::Length(left) => *left,
        Source::Done => 0,
        Source::Chunked(_) | Source::UntilClose => UNKNOWN,
    }
}

/// Why the client's side ended an exchange.
#[derive(Debug)]
pub(super) enum Inward {
    /// The client has closed or broken its connection.
    Gone,
    /// The body breaks a rule.
    Refused(Refusal),
}

/// The way in of one exchange.
pub(super) struct Uploading<'a> {
    pub(super) worker: &'a Worker,
    pub(super) wire: Wire<'a>,
    pub(super) flow: &'a Flow,
}

impl Uploading<'_> {
    /// Sends the head and what the buffer already has of a body of known length, in one write. That a write is
    /// refused is no failure yet: the upstream may have answered and closed.
    pub(super) async fn begin(&self, request: &mut Request, to: &mut WriteEnd<'_>, buffer: &mut Buffer) {
        let wait = Duration::from_millis(request.limits().first_byte_timeout_ms);
        let here = match &mut request.source {
            source @ Source::Length(_) => source.take(buffer.bytes_mut()).map_or(0, |taken| taken.consumed),
            Source::Chunked(_) | Source::UntilClose | Source::Done => 0,
        };
        let parts = [request.head.as_slice(), &buffer.bytes()[..here]];
        if self.wire.send(to, parts, &mut Pace::within(wait)).await.is_err() {
            return self.flow.upload.set(Upload::Broken);
        }
        buffer.consume(here);
        self.flow.left.set(left_of(&request.source));
        if request.source.is_done() {
            to.finish_request(None);
            self.flow.upload.set(Upload::Done);
        }
    }

    /// Brings the rest of the body to the upstream. Ends without an error when all of it is there, or when the
    /// upstream takes no more of it, which only its answer can explain.
    pub(super) async fn bring(
        self,
        request: &mut Request,
        from: &mut ReadEnd<'_>,
        to: &mut WriteEnd<'_>,
        buffer: &mut Buffer,
    ) -> Result<(), Inward> {
        let limits = &self.worker.shared.limits;
        let mut pace = Pace::of(limits.body_period.duration(), limits.body_progress.as_bytes());
        let wait = Duration::from_millis(request.limits().first_byte_timeout_ms);
        while !request.source.is_done() {
            let mut write_pace = Pace::within(wait);
            let is_taken = if buffer.is_empty()
                && matches!(request.source, Source::Length(SPLICE_LEAST..))
                && let (Some(from), Some(to)) = (from.plain(), to.plain())
                && let Some(mut pipe) = self.worker.pipes.lease()
            {
                let (from, to) = ((from, &mut pace), (to, &mut write_pace));
                match self.wire.splice(from, to, &mut pipe, &self.flow.left).await {
                    Ok(()) => {
                        request.source = Source::Done;
                        true
                    }
                    Err(Broken::Source(problem)) => return Err(inward_end(&problem)),
                    Err(Broken::Sink) => false,
                }
            } else {
                if buffer.is_empty() {
                    self.read(&mut request.source, from, buffer, &mut pace).await?;
                }
                self.pass(request, to, buffer, &mut write_pace).await?
            };
            if !is_taken {
                self.flow.upload.set(Upload::Broken);
                return Ok(());
            }
            if write_pace.has_waited() {
                // The upstream was slow, not the client.
                pace.restart();
            }
        }
        to.finish_request(from.take_trailers());
        self.flow.upload.set(Upload::Done);
        self.worker.memory.reclaim(buffer);
        Ok(())
    }

    /// Reads more of the body, without holding memory while nothing comes.
    async fn read(
        &self,
        source: &mut Source,
        from: &mut ReadEnd<'_>,
        buffer: &mut Buffer,
        pace: &mut Pace,
    ) -> Result<(), Inward> {
        self.worker.memory.reclaim(buffer);
        self.wire.readable(from, pace).await.map_err(|problem| inward_end(&problem))?;
        self.worker.memory.provide(buffer);
        match self.wire.read(from, buffer, source.want(), pace).await {
            Ok(0) if matches!(source, Source::UntilClose) => {
                *source = Source::Done;
                Ok(())
            }
            Ok(0) => Err(Inward::Gone),
            Ok(_) => Ok(()),
            Err(problem) => Err(inward_end(&problem)),
        }
    }

    /// Passes on what is in the buffer; false when the upstream does not take it.
    async fn pass(
        &self,
        request: &mut Request,
        to: &mut WriteEnd<'_>,
        buffer: &mut Buffer,
        pace: &mut Pace,
    ) -> Result<bool, Inward> {
        let taken = request.source.take(buffer.bytes_mut()).map_err(Inward::Refused)?;
        request.count_body(taken.data).map_err(Inward::Refused)?;
        let mut line = [0; 18];
        let parts = request.sink.frame(&buffer.bytes()[..taken.data], taken.is_done, &mut line);
        if self.wire.send(to, parts, pace).await.is_err() {
            return Ok(false);
        }
        buffer.consume(taken.consumed);
        self.flow.left.set(left_of(&request.source));
        Ok(true)
    }
}

fn inward_end(problem: &io::Error) -> Inward {
    if problem.kind() == io::ErrorKind::TimedOut {
        Inward::Refused(Refusal::BodyTimeout)
    } else {
        Inward::Gone
    }
}

/// Resolves when the client has closed or broken its connection. A further request in the socket is left there,
/// and then nothing more can be seen.
pub(super) async fn until_gone(from: &mut ReadEnd<'_>) {
    let mut is_blind = false;
    poll_fn(|context| {
        if is_blind {
            return Poll::Pending;
        }
        match from.poll_peek(context) {
            Poll::Ready(Ok(1..)) => {
                is_blind = true;
                Poll::Pending
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}
