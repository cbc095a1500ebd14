//! One request to an application that speaks HTTP/2, looking like a connection of HTTP/1.1 to the data path: writing
//! takes the request as text and sends it as frames, reading gives the answer as text. Trailers pass beside the text.
//! It opens no connections (`links`) and sets no deadline. Tests: `tests/it/h2_upstream.rs`.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use havre_http::h2::answer::write;
use havre_http::h2::request::{Body, read};
use http::{HeaderMap, Response};
use tokio::io::ReadBuf;

use super::links::Live;
use super::stream::{io_error, send_body};

/// A request on its way and its answer; both sides are used at the same time by one task.
#[derive(Debug)]
pub(crate) struct Upward(RefCell<State>);

#[derive(Debug)]
struct State {
    outward: Outward,
    inward: Inward,
    trailers: Option<HeaderMap>,
    /// Its place among the streams of its connection.
    _live: Rc<Live>,
}

/// How far the request is.
#[derive(Debug)]
enum Outward {
    /// With the scheme to say.
    Head(SendRequest<Bytes>, &'static str),
    /// This many bytes of the body are missing, or it ends when it is finished.
    Body(SendStream<Bytes>, Option<u64>),
    Ended,
}

/// How far the answer is.
#[derive(Debug)]
enum Inward {
    /// The request has not gone out.
    Nothing,
    Waiting(ResponseFuture),
    /// What was not read yet: of the head as text first, then of the body.
    Body(RecvStream, Bytes, Unread),
    Ended,
}

/// Whether what is unread counts for the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    Text,
    Data,
}

impl Upward {
    pub(super) fn new(send: SendRequest<Bytes>, scheme: &'static str, live: Rc<Live>) -> Self {
        Self(RefCell::new(State {
            outward: Outward::Head(send, scheme),
            inward: Inward::Nothing,
            trailers: None,
            _live: live,
        }))
    }

    /// Takes some of `parts`: first a head, whole and at the start of the first part, then the body.
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        match &mut state.outward {
            Outward::Head(send, _) => {
                let sent = match ready!(send.poll_ready(context)) {
                    Ok(()) => state.send_head(parts.first().map_or(&b""[..], |part| part)),
                    Err(problem) => Err(io_error(problem)),
                };
                if sent.is_err() {
                    // Nothing has gone out, and no answer is to come.
                    state.inward = Inward::Ended;
                }
                Poll::Ready(sent)
            }
            Outward::Body(to, left) => {
                let (count, is_whole) = ready!(send_body(context, to, *left, parts))?;
                if let Some(left) = left {
                    *left -= count as u64;
                }
                if is_whole {
                    state.outward = Outward::Ended;
                }
                Poll::Ready(Ok(count))
            }
            Outward::Ended => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// The body of the request is complete; `trailers` go behind it.
    pub(crate) fn finish(&self, trailers: Option<HeaderMap>) {
        let state = &mut *self.0.borrow_mut();
        if let Outward::Body(to, left) = &mut state.outward {
            // An application that is gone is noticed where its answer is read.
            let _ = match (left, trailers) {
                (None, Some(trailers)) => to.send_trailers(trailers),
                (None, None) => to.send_data(Bytes::new(), true),
                (Some(_), _) => return to.send_reset(Reason::CANCEL),
            };
            state.outward = Outward::Ended;
        }
    }

    /// Ready when the next read would not wait.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_fill(context)
    }

    /// Reads what has come of the answer; nothing at its end.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        ready!(state.poll_fill(context))?;
        if let Inward::Body(body, unread, kind) = &mut state.inward {
            let count = unread.len().min(space.remaining());
            space.put_slice(&unread[..count]);
            unread.advance(count);
            if *kind == Unread::Data {
                // A stream that is reset meanwhile has no window to give back to.
                let _ = body.flow_control().release_capacity(count);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Trailers of the answer, after its end.
    pub(crate) fn take_trailers(&self) -> Option<HeaderMap> {
        self.0.borrow_mut().trailers.take()
    }
}

impl State {
    fn send_head(&mut self, text: &[u8]) -> io::Result<usize> {
        let Outward::Head(send, scheme) = &mut self.outward else { return Ok(0) };
        let Some(head) = read(text, scheme) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no whole head in one piece"));
        };
        let is_whole = head.body == Body::None;
        let (answer, to) = send.send_request(head.request, is_whole).map_err(io_error)?;
        self.inward = Inward::Waiting(answer);
        self.outward = match head.body {
            Body::None => Outward::Ended,
            Body::Length(length) => Outward::Body(to, Some(length)),
            Body::Open => Outward::Body(to, None),
        };
        Ok(head.size)
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.inward {
                // Whoever reads before it writes waits for what it writes.
                Inward::Nothing => return Poll::Pending,
                Inward::Waiting(answer) => {
                    let answer = ready!(std::pin::Pin::new(answer).poll(context)).map_err(io_error)?;
                    let is_whole = answer.body().is_end_stream();
                    let (head, body) = answer.into_parts();
                    let text = write(&Response::from_parts(head, ()), is_whole);
                    self.inward = Inward::Body(body, text, Unread::Text);
                }
                Inward::Body(_, unread, _) if !unread.is_empty() => return Poll::Ready(Ok(())),
                Inward::Body(body, unread, kind) => match ready!(body.poll_data(context)) {
                    Some(Ok(data)) => (*unread, *kind) = (data, Unread::Data),
                    Some(Err(problem)) => return Poll::Ready(Err(io_error(problem))),
                    None => {
                        self.trailers = ready!(body.poll_trailers(context)).map_err(io_error)?;
                        self.inward = Inward::Ended;
                    }
                },
                Inward::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}
