//! The way back: the head of an upstream's answer judged and rewritten, its body streamed with bounded memory.
//! What is cut upstream is cut for the client too, never ended cleanly. Tests: `tests/it/answers.rs`.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::buffer::Buffer;
use super::clock::{Lane, Pace};
use super::receive::COPY_MOST;
use super::text::{self, Ask};
use super::upload::{Flow, SPLICE_LEAST, Upload};
use super::wire::{Broken, Wire};
use crate::stream::{ReadEnd, WriteEnd};
use crate::upstream::Upstream;
use crate::worker::Worker;
use havre_http::h1::body::{Sink, Source};
use havre_http::h1::{Framing, Refusal, Scratch, head_end, response};
use havre_http::page::Trouble;
use havre_http::policy::{AnswerView, Coding};

/// Most interim answers before the final one.
const MOST_INTERIM: u32 = 16;

/// How the way back ended.
#[derive(Debug)]
pub(super) enum End {
    /// The whole answer has gone out.
    Complete {
        /// The client's connection can take another request, as far as the answer is concerned.
        keep_alive: bool,
        /// The upstream's connection can take another request.
        is_reusable: bool,
    },
    /// The upstream agreed to a WebSocket; the client knows.
    Upgraded {
        /// What the upstream sent behind its head.
        early: Buffer,
    },
    /// Nothing has gone to the client: the route has a page for what was answered.
    Replaced,
    /// The upstream closed without a byte.
    Silent,
    /// Nothing of a final answer has gone to the client.
    Failed(Trouble),
    /// The answer broke off after it began.
    Cut,
    /// The client does not take the answer.
    ClientGone,
}

/// The way back of one exchange.
pub(super) struct Answer<'a> {
    pub(super) worker: &'a Worker,
    pub(super) wire: Wire<'a>,
    pub(super) ask: Ask,
    pub(super) upgrade: bool,
    pub(super) release: Arc<Upstream>,
    /// Longest wait for the head, from the end of the request.
    pub(super) wait: Duration,
    pub(super) flow: &'a Flow,
}

/// Where an answer comes from and where it goes.
pub(super) struct Ends<'e, 's> {
    pub(super) from: &'e mut ReadEnd<'s>,
    pub(super) to: &'e mut WriteEnd<'s>,
}

/// A head of the upstream, judged.
enum Judged {
    /// 100 or 103, written down for the client.
    Interim,
    /// 101.
    Upgrade,
    /// A final head, written down for the client, and its body.
    Final { source: Source, sink: Sink, coding: Option<Coding>, keep_alive: bool, is_reusable: bool },
    /// A final head in whose place the route has a page.
    Replaced,
}

impl Answer<'_> {
    /// Brings the answer from the upstream to the client.
    pub(super) async fn bring(self, mut ends: Ends<'_, '_>) -> End {
        let ends = &mut ends;
        let mut buffer = Buffer::default();
        let mut out = self.worker.memory.head();
        let end = match self.bring_head(ends, &mut buffer, &mut out).await {
            Ok(Judged::Final { source, sink, coding, keep_alive, is_reusable }) => {
                let ended = match coding {
                    None => self.bring_body(ends, (source, sink), &mut buffer, &mut out).await,
                    // Boxed: compressing costs more than the box, and most answers are not.
                    Some(coding) => {
                        Box::pin(self.bring_squeezed(ends, (source, coding), &mut buffer, &mut out)).await
                    }
                };
                match ended {
                    Ok(is_exact) => End::Complete { keep_alive, is_reusable: is_reusable && is_exact },
                    Err(end) => end,
                }
            }
            Ok(Judged::Upgrade) => {
                self.flow.began.set(true);
                match self.send(ends.to, [&out]).await {
                    Ok(()) => End::Upgraded { early: std::mem::take(&mut buffer) },
                    Err(_) => End::ClientGone,
                }
            }
            Ok(Judged::Replaced) => End::Replaced,
            Ok(Judged::Interim) => End::Failed(Trouble::BadAnswer),
            Err(end) => end,
        };
        self.worker.memory.give_back(buffer);
        self.worker.memory.give_back_head(out);
        end
    }

    /// Reads heads until a final one; interim ones are passed on.
    async fn bring_head(
        &self,
        ends: &mut Ends<'_, '_>,
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
    ) -> Result<Judged, End> {
        let most = usize::try_from(self.worker.shared.limits.head_size.as_bytes()).unwrap_or(usize::MAX);
        let mut pace = Pace::within(self.wait);
        let mut scanned = 0;
        for _ in 0..=MOST_INTERIM {
            let end = loop {
                match head_end(buffer.bytes(), &mut scanned) {
                    Ok(Some(end)) => break end,
                    Ok(None) => self.read_head(ends.from, buffer, most, &mut pace).await?,
                    Err(_) => return Err(End::Failed(Trouble::BadAnswer)),
                }
            };
            let judged = self.judge(&buffer.bytes()[..end], out);
            buffer.consume(end);
            match judged.map_err(|_| End::Failed(Trouble::BadAnswer))? {
                Judged::Interim => {
                    if !self.ask.is_http10 && self.send(ends.to, [out.as_slice()]).await.is_err() {
                        return Err(End::ClientGone);
                    }
                    out.clear();
                    scanned = 0;
                    pace.restart();
                }
                judged => return Ok(judged),
            }
        }
        Err(End::Failed(Trouble::BadAnswer))
    }

    async fn read_head(
        &self,
        from: &mut ReadEnd<'_>,
        buffer: &mut Buffer,
        most: usize,
        pace: &mut Pace,
    ) -> Result<(), End> {
        if buffer.is_empty() {
            // The wait of the upstream's thinking: without memory, and without a deadline while the client is
            // still sending.
            let waited = std::future::poll_fn(|context| match from.poll_answer(context) {
                Poll::Ready(ready) => Poll::Ready(ready),
                Poll::Pending if self.flow.upload.get() == Upload::Running => Poll::Pending,
                Poll::Pending if pace.may_wait(self.wire.clock, self.wire.watch, Lane::Outward) => {
                    Poll::Pending
                }
                Poll::Pending => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            });
            waited.await.map_err(|problem| self.no_answer(&problem))?;
            self.worker.memory.provide(buffer);
        }
        if buffer.len() >= most || !buffer.make_room(most) {
            return Err(End::Failed(Trouble::BadAnswer));
        }
        match self.wire.read(from, buffer, u64::MAX, pace).await {
            Ok(0) if self.flow.heard.get() => Err(End::Failed(Trouble::NoAnswer)),
            Ok(0) => Err(End::Silent),
            Ok(_) => {
                self.flow.heard.set(true);
                Ok(())
            }
            Err(problem) => Err(self.no_answer(&problem)),
        }
    }

    fn no_answer(&self, problem: &io::Error) -> End {
        if problem.kind() == io::ErrorKind::TimedOut {
            End::Failed(Trouble::AnswerTimeout)
        } else if self.flow.heard.get() {
            End::Failed(Trouble::NoAnswer)
        } else {
            End::Silent
        }
    }

    /// Judges one head and writes it down for the client; never waits.
    fn judge(&self, head: &[u8], out: &mut Vec<u8>) -> Result<Judged, Refusal> {
        let mut scratch = Scratch::new();
        let head = response::parse(head, self.ask.is_head, &mut scratch)?;
        if head.status == 101 {
            if !self.upgrade || !head.is_websocket {
                return Err(Refusal::Syntax);
            }
            self.flow.status.set(101);
            text::answer(out, &head, &self.ask, None, (&self.release.release, true));
            return Ok(Judged::Upgrade);
        }
        if head.status < 200 {
            text::interim(out, &head);
            return Ok(Judged::Interim);
        }
        self.flow.status.set(head.status);
        let pass = self.ask.pass.as_deref();
        if self.ask.as_page && pass.is_some_and(|pass| pass.replaces(head.status).is_some()) {
            return Ok(Judged::Replaced);
        }
        let edits = pass.map(|pass| pass.edit(&self.view(&head, &|name| head.line(name))));
        let coding = edits.as_ref().and_then(|edits| edits.coding);
        let (sink, can_end) = match head.framing {
            _ if coding.is_some() && self.ask.is_h2 => (Sink::Plain, false),
            _ if coding.is_some() => (Sink::Chunks, true),
            Framing::Chunked | Framing::UntilClose if !self.ask.takes_chunks() => (Sink::Plain, false),
            Framing::Chunked | Framing::UntilClose => (Sink::Chunks, true),
            Framing::Empty | Framing::Length(_) => (Sink::Plain, true),
        };
        let keep_alive = self.ask.keep_alive
            && can_end
            && !self.worker.stopping.get()
            && self.flow.can_keep(self.ask.expects_continue);
        text::answer(out, &head, &self.ask, edits.as_ref(), (&self.release.release, keep_alive));
        let source = Source::of(head.framing);
        Ok(Judged::Final { source, sink, coding, keep_alive, is_reusable: head.keep_alive })
    }

    /// What a policy sees of an answer.
    fn view<'v>(
        &self,
        head: &response::ResponseHead<'_, '_>,
        header: &'v dyn Fn(&str) -> Option<&'v [u8]>,
    ) -> AnswerView<'v> {
        let length = match head.framing {
            Framing::Length(length) => Some(length),
            Framing::Empty => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let may_compress = !self.ask.is_http10 && self.has_room_to_squeeze();
        AnswerView { status: head.status, length, may_compress, header }
    }

    /// Sends the head in `out` and streams the body. Tells whether the upstream sent nothing behind it.
    async fn bring_body(
        &self,
        ends: &mut Ends<'_, '_>,
        (mut source, sink): (Source, Sink),
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
    ) -> Result<bool, End> {
        let taken = source.take(buffer.bytes_mut()).map_err(|_| End::Failed(Trouble::BadAnswer))?;
        let mut line = [0; 18];
        let parts = sink.frame(&buffer.bytes()[..taken.data], taken.is_done, &mut line);
        self.flow.began.set(true);
        let sent = if taken.data <= COPY_MOST {
            parts.iter().for_each(|part| out.extend_from_slice(part));
            self.send(ends.to, [out.as_slice()]).await
        } else {
            self.send(ends.to, [out.as_slice(), parts[0], parts[1], parts[2]]).await
        };
        sent.map_err(|_| End::ClientGone)?;
        self.flow.has_sent(taken.data);
        buffer.consume(taken.consumed);
        if source.is_done() {
            return Ok(buffer.is_empty());
        }
        self.worker.memory.give_back(std::mem::take(buffer));
        self.stream_body(ends, (source, sink)).await
    }

    async fn stream_body(
        &self,
        ends: &mut Ends<'_, '_>,
        (mut source, sink): (Source, Sink),
    ) -> Result<bool, End> {
        // Events may be far apart; what bounds the silence is the same as for WebSockets.
        let mut pace = Pace::within(self.worker.shared.limits.tunnel_idle_timeout.duration());
        if let Source::Length(left) = source
            && left >= SPLICE_LEAST
            && let (Some(from), Some(to)) = (ends.from.plain(), ends.to.plain())
            && let Some(mut pipe) = self.worker.pipes.lease()
        {
            let mut write_pace = self.write_pace();
            let both = ((from, &mut pace), (to, &mut write_pace));
            let missing = Cell::new(left);
            let moved = self.wire.splice(both.0, both.1, &mut pipe, &missing).await;
            self.flow.sent.set(self.flow.sent.get() + left - missing.get());
            return match moved {
                Ok(()) => Ok(true),
                Err(Broken::Source(_)) => Err(End::Cut),
                Err(Broken::Sink) => Err(End::ClientGone),
            };
        }
        loop {
            pace.restart();
            self.wire.readable(ends.from, &mut pace).await.map_err(|_| End::Cut)?;
            let mut block = self.worker.memory.large();
            let step = match ends.to.plain() {
                Some(_) => self.stream_piece(ends, &mut source, sink, &mut block).await,
                None => self.stream_pieces(ends, &mut source, sink, &mut block).await,
            };
            let is_exact = block.is_empty();
            self.worker.memory.give_back(block);
            if step? {
                return Ok(is_exact);
            }
        }
    }

    /// Reads once and passes on what came; true at the end of the body.
    async fn stream_piece(
        &self,
        ends: &mut Ends<'_, '_>,
        source: &mut Source,
        sink: Sink,
        block: &mut Buffer,
    ) -> Result<bool, End> {
        let mut pace = Pace::within(self.worker.shared.limits.tunnel_idle_timeout.duration());
        let count = self.wire.read(ends.from, block, source.want(), &mut pace).await.map_err(|_| End::Cut)?;
        if count == 0 {
            if !matches!(source, Source::UntilClose) {
                return Err(End::Cut);
            }
            ends.to.keep_trailers(ends.from.take_trailers());
            let mut line = [0; 18];
            let parts = sink.frame(b"", true, &mut line);
            self.send(ends.to, parts).await.map_err(|_| End::ClientGone)?;
            return Ok(true);
        }
        let taken = source.take(block.bytes_mut()).map_err(|_| End::Cut)?;
        let mut line = [0; 18];
        let parts = sink.frame(&block.bytes()[..taken.data], taken.is_done, &mut line);
        self.send(ends.to, parts).await.map_err(|_| End::ClientGone)?;
        self.flow.has_sent(taken.data);
        block.consume(taken.consumed);
        Ok(taken.is_done)
    }

    /// Encrypts what has arrived until there is enough for a large write, and sends it; true at the end of the body.
    async fn stream_pieces(
        &self,
        ends: &mut Ends<'_, '_>,
        source: &mut Source,
        sink: Sink,
        block: &mut Buffer,
    ) -> Result<bool, End> {
        loop {
            let arrived = Wire::read_most(ends.from, block, source.want()).await.map_err(|_| End::Cut)?;
            let mut line = [0; 18];
            let (parts, consumed, is_done) = match arrived {
                None => break,
                Some(0) if matches!(source, Source::UntilClose) => {
                    ends.to.keep_trailers(ends.from.take_trailers());
                    (sink.frame(b"", true, &mut line), 0, true)
                }
                Some(0) => return Err(End::Cut),
                Some(_) => {
                    let taken = source.take(block.bytes_mut()).map_err(|_| End::Cut)?;
                    let parts = sink.frame(&block.bytes()[..taken.data], taken.is_done, &mut line);
                    (parts, taken.consumed, taken.is_done)
                }
            };
            let queued = self.wire.queue(ends.to, parts, &mut self.write_pace()).await;
            queued.map_err(|_| End::ClientGone)?;
            block.consume(consumed);
            if is_done {
                self.flush(ends.to).await?;
                return Ok(true);
            }
            if ends.to.is_full() {
                break;
            }
        }
        self.flush(ends.to).await?;
        Ok(false)
    }

    async fn flush(&self, to: &mut WriteEnd<'_>) -> Result<(), End> {
        self.wire.flush(to, &mut self.write_pace()).await.map_err(|_| End::ClientGone)
    }

    fn write_pace(&self) -> Pace {
        let limits = &self.worker.shared.limits;
        Pace::of(limits.body_period.duration(), limits.body_progress.as_bytes())
    }

    pub(super) async fn send<const N: usize>(
        &self,
        to: &mut WriteEnd<'_>,
        parts: [&[u8]; N],
    ) -> io::Result<()> {
        self.wire.send(to, parts, &mut self.write_pace()).await
    }
}
