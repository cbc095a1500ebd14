//! One stream that looks like a connection of HTTP/1.1 to the data path: reading gives the body of the request,
//! writing takes the answer as text and sends it as frames. Its windows are the only buffers: what nobody reads is
//! not taken from the client, and what the client does not take is not accepted for sending. It sets no deadline:
//! whoever waits on it does. Tests: `tests/it/h2_*.rs`.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use havre_http::h2::answer;
use http::HeaderMap;
use tokio::io::ReadBuf;

use super::SEND_BUFFER;
use super::ledger::Ledger;

/// A stream; both of its sides are used at the same time by one task.
#[derive(Debug)]
pub(crate) struct H2Stream {
    state: RefCell<State>,
    ledger: Rc<Ledger>,
}

#[derive(Debug)]
struct State {
    body: RecvStream,
    /// What came of the body and was not read yet.
    unread: Bytes,
    outward: Outward,
    is_head: bool,
    /// Behind the body of the request, and behind that of the answer.
    trailers: (Option<HeaderMap>, Option<HeaderMap>),
}

/// How far the answer is.
#[derive(Debug)]
enum Outward {
    Head(SendResponse<Bytes>),
    /// The head is sent; this many bytes of the body are missing, or it ends when it ends.
    Body(SendStream<Bytes>, Option<u64>),
    /// Everything is sent.
    Ended,
}

impl H2Stream {
    /// `is_head`: the answer has no body, whatever it says.
    pub(super) fn new(
        body: RecvStream,
        respond: SendResponse<Bytes>,
        is_head: bool,
        ledger: Rc<Ledger>,
    ) -> Self {
        let state = State {
            body,
            unread: Bytes::new(),
            outward: Outward::Head(respond),
            is_head,
            trailers: (None, None),
        };
        Self { state: RefCell::new(state), ledger }
    }

    /// The name the client asked for in the handshake of its connection.
    pub(crate) fn name(&self) -> Option<&str> {
        self.ledger.name.as_deref()
    }

    /// Ready when the next read would not wait.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.borrow_mut().poll_fill(context)
    }

    /// Reads what has come of the body; nothing at its end.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.state.borrow_mut();
        ready!(state.poll_fill(context))?;
        let count = state.unread.len().min(space.remaining());
        space.put_slice(&state.unread[..count]);
        state.unread.advance(count);
        self.ledger.carry(count);
        // A stream that is reset meanwhile has no window to give back to.
        let _ = state.body.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }

    /// Takes some of `parts`: first the head of an answer, whole and at the start of the first part, then its body.
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.state.borrow_mut();
        match &mut state.outward {
            Outward::Head(_) => {
                let sent = state.send_head(parts.first().map_or(&b""[..], |part| part));
                self.ledger.carry(*sent.as_ref().unwrap_or(&0));
                Poll::Ready(sent)
            }
            Outward::Body(to, left) => {
                let (count, is_whole) = ready!(send_body(context, to, *left, parts))?;
                self.ledger.carry(count);
                if let Some(left) = left {
                    *left -= count as u64;
                }
                if is_whole {
                    state.outward = Outward::Ended;
                }
                Poll::Ready(Ok(count))
            }
            // The body of an answer to HEAD, or more than was promised.
            Outward::Ended => Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum())),
        }
    }

    /// Ready when the client has given the stream up, or its connection is gone.
    pub(crate) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.state.borrow_mut().outward {
            Outward::Head(respond) => respond.poll_reset(context).map(drop),
            Outward::Body(to, _) => to.poll_reset(context).map(drop),
            Outward::Ended => Poll::Pending,
        }
    }

    /// The answer is complete.
    pub(crate) fn finish(&self) {
        let state = &mut *self.state.borrow_mut();
        match &mut state.outward {
            Outward::Body(to, None) => {
                // A client that is gone misses nothing.
                let _ = match state.trailers.1.take() {
                    Some(trailers) => to.send_trailers(trailers),
                    None => to.send_data(Bytes::new(), true),
                };
                state.outward = Outward::Ended;
            }
            Outward::Head(_) | Outward::Body(_, Some(_)) => state.cut(),
            Outward::Ended => {}
        }
    }

    /// The answer breaks off here.
    pub(crate) fn cut(&self) {
        self.state.borrow_mut().cut();
    }

    /// Trailers of the request, after its body.
    pub(crate) fn take_trailers(&self) -> Option<HeaderMap> {
        self.state.borrow_mut().trailers.0.take()
    }

    /// Keeps what goes behind the answer.
    pub(crate) fn keep_trailers(&self, trailers: HeaderMap) {
        self.state.borrow_mut().trailers.1 = Some(trailers);
    }
}

impl State {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.body.poll_data(context)) {
                Some(Ok(data)) => self.unread = data,
                Some(Err(problem)) => return Poll::Ready(Err(io_error(problem))),
                None => {
                    if let Some(trailers) = ready!(self.body.poll_trailers(context)).map_err(io_error)? {
                        self.trailers.0 = Some(trailers);
                    }
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send_head(&mut self, text: &[u8]) -> io::Result<usize> {
        let Outward::Head(respond) = &mut self.outward else { return Ok(0) };
        let Some(head) = answer::read(text) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no whole head in one piece"));
        };
        if head.is_interim {
            respond.send_informational(head.response).map_err(io_error)?;
            return Ok(head.size);
        }
        let status = head.response.status().as_u16();
        let length = if self.is_head || matches!(status, 204 | 304) { Some(0) } else { head.length };
        let length = length.filter(|_| !head.is_tunnel);
        let is_whole = length == Some(0);
        let to = respond.send_response(head.response, is_whole).map_err(io_error)?;
        self.outward = if is_whole { Outward::Ended } else { Outward::Body(to, length) };
        Ok(head.size)
    }

    fn cut(&mut self) {
        match &mut self.outward {
            Outward::Head(respond) => respond.send_reset(Reason::INTERNAL_ERROR),
            Outward::Body(to, _) => to.send_reset(Reason::INTERNAL_ERROR),
            Outward::Ended => {}
        }
    }
}

/// Sends as much as the client's windows and the buffer allow; tells how much, and whether that was the last of it.
pub(super) fn send_body(
    context: &mut Context<'_>,
    to: &mut SendStream<Bytes>,
    left: Option<u64>,
    parts: &[IoSlice<'_>],
) -> Poll<io::Result<(usize, bool)>> {
    let offered: usize = parts.iter().map(|part| part.len()).sum();
    let most = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
    let wanted = offered.min(most).min(SEND_BUFFER);
    to.reserve_capacity(wanted);
    let room = loop {
        match to.capacity() {
            0 => match ready!(to.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(problem)) => return Poll::Ready(Err(io_error(problem))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            room => break room.min(wanted),
        }
    };
    let is_whole = left == Some(room as u64);
    to.send_data(gather(parts, room), is_whole).map_err(io_error)?;
    Poll::Ready(Ok((room, is_whole)))
}

/// The first `count` bytes of `parts`.
fn gather(parts: &[IoSlice<'_>], mut count: usize) -> Bytes {
    if let Some(first) = parts.first()
        && first.len() >= count
    {
        return Bytes::copy_from_slice(&first[..count]);
    }
    let mut all = BytesMut::with_capacity(count);
    for part in parts {
        let here = part.len().min(count);
        all.extend_from_slice(&part[..here]);
        count -= here;
    }
    all.freeze()
}

pub(super) fn io_error(problem: h2::Error) -> io::Error {
    if problem.is_io() {
        return problem.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    io::Error::new(io::ErrorKind::ConnectionReset, problem)
}
