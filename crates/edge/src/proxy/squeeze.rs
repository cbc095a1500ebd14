//! Answers that are compressed on their way to the client: read piece by piece, encoded, sent as chunks. How many pass
//! at once on one worker is bounded; beyond that, answers go out as they are. Tests: `tests/it/policy.rs`.

use super::answer::{Answer, End, Ends};
use super::buffer::Buffer;
use super::clock::Pace;
use crate::worker::Worker;
use havre_http::h1::body::{Sink, Source};
use havre_http::page::Trouble;
use havre_http::policy::{Coding, Encoder};

/// Most answers one worker compresses at the same time, about 1 MB each.
const MOST: usize = 32;

/// The place of one answer in the count.
struct Squeezing<'w>(&'w Worker);

impl<'w> Squeezing<'w> {
    fn new(worker: &'w Worker) -> Self {
        worker.compressing.set(worker.compressing.get() + 1);
        Self(worker)
    }
}

impl Drop for Squeezing<'_> {
    fn drop(&mut self) {
        self.0.compressing.set(self.0.compressing.get() - 1);
    }
}

impl Answer<'_> {
    pub(super) fn has_room_to_squeeze(&self) -> bool {
        self.worker.compressing.get() < MOST
    }

    /// Sends the head in `out` and the body compressed. Tells whether the upstream sent nothing behind it.
    pub(super) async fn bring_squeezed(
        &self,
        ends: &mut Ends<'_, '_>,
        (mut source, coding): (Source, Coding),
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
    ) -> Result<bool, End> {
        let _squeezing = Squeezing::new(self.worker);
        let mut encoder = Encoder::new(coding).map_err(|_| End::Failed(Trouble::Busy))?;
        let mut pace = Pace::within(self.worker.shared.limits.tunnel_idle_timeout.duration());
        let mut head = Some(out);
        loop {
            // Nothing of the answer has gone out before the first piece of it is known to be sound.
            let broken = if head.is_some() { End::Failed(Trouble::BadAnswer) } else { End::Cut };
            let Ok(taken) = source.take(buffer.bytes_mut()) else { return Err(broken) };
            let mut data = Vec::new();
            if taken.data > 0 {
                data = encoder.encode(&buffer.bytes()[..taken.data]).map_err(|_| End::Cut)?;
            }
            buffer.consume(taken.consumed);
            if taken.is_done {
                data.extend(encoder.finish().map_err(|_| End::Cut)?);
                self.send_chunk(ends, head.take(), &data, true).await?;
                return Ok(buffer.is_empty());
            }
            if head.is_some() || !data.is_empty() {
                self.send_chunk(ends, head.take(), &data, false).await?;
            }
            pace.restart();
            self.wire.readable(ends.from, &mut pace).await.map_err(|_| End::Cut)?;
            self.worker.memory.provide(buffer);
            let count = self.wire.read(ends.from, buffer, source.want(), &mut pace).await;
            if count.map_err(|_| End::Cut)? == 0 {
                if !matches!(source, Source::UntilClose) {
                    return Err(End::Cut);
                }
                let rest = encoder.finish().map_err(|_| End::Cut)?;
                self.send_chunk(ends, None, &rest, true).await?;
                return Ok(true);
            }
        }
    }

    async fn send_chunk(
        &self,
        ends: &mut Ends<'_, '_>,
        head: Option<&mut Vec<u8>>,
        data: &[u8],
        is_done: bool,
    ) -> Result<(), End> {
        let mut line = [0; 18];
        // A stream ends by itself.
        let sink = if self.ask.is_h2 { Sink::Plain } else { Sink::Chunks };
        let parts = sink.frame(data, is_done, &mut line);
        let head: &[u8] = head.map_or(&[], |head| head.as_slice());
        self.flow.began.set(true);
        self.send(ends.to, [head, parts[0], parts[1], parts[2]]).await.map_err(|_| End::ClientGone)?;
        self.flow.has_sent(data.len());
        Ok(())
    }
}
