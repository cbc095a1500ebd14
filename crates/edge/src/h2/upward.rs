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
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
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

/// How a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Length(u64),
    Open,
}

struct Head {
    request: Request<()>,
    size: usize,
    body: Body,
}

/// Reads the head at the start of `text`, as the edge writes it for applications.
fn read(text: &[u8], scheme: &str) -> Option<Head> {
    let mut lines = [httparse::EMPTY_HEADER; 300];
    let mut parsed = httparse::Request::new(&mut lines);
    let Ok(httparse::Status::Complete(size)) = parsed.parse(text) else { return None };
    let owned = Bytes::copy_from_slice(&text[..size]);
    let mut fields = HeaderMap::with_capacity(parsed.headers.len());
    let (mut authority, mut body) = (&b""[..], Body::None);
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        match name {
            header::HOST => {
                authority = line.value;
                continue;
            }
            header::TRANSFER_ENCODING => {
                body = Body::Open;
                continue;
            }
            header::CONTENT_LENGTH => {
                let length = std::str::from_utf8(line.value).ok()?.parse().ok()?;
                body = if length == 0 { Body::None } else { Body::Length(length) };
            }
            header::CONNECTION | header::UPGRADE | header::TE => continue,
            _ => {}
        }
        fields.append(name, value(&owned, text, line.value)?);
    }
    // The edge takes trailers; gRPC asks for this field.
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() =
        Uri::builder().scheme(scheme).authority(authority).path_and_query(parsed.path?).build().ok()?;
    *request.headers_mut() = fields;
    Some(Head { request, size, body })
}

/// A value as a part of the bytes that were copied once.
fn value(owned: &Bytes, text: &[u8], value: &[u8]) -> Option<HeaderValue> {
    if value.is_empty() {
        return Some(HeaderValue::from_static(""));
    }
    let start = value.as_ptr() as usize - text.as_ptr() as usize;
    HeaderValue::from_maybe_shared(owned.slice(start..start + value.len())).ok()
}

/// The head of an answer as text. Without a length it ends with the stream, which is the same as with the connection.
fn write(head: &Response<()>, is_whole: bool) -> Bytes {
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(head.status().as_str().as_bytes());
    text.extend_from_slice(b" \r\n");
    for (name, value) in head.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if is_whole && !head.headers().contains_key(header::CONTENT_LENGTH) {
        text.extend_from_slice(b"content-length: 0\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields_and_back() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: app.example:81\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-e: \r\n\r\nrest";
        let head = read(text, "http").unwrap();
        assert_eq!((head.size, head.body), (text.len() - 4, Body::Open));
        assert_eq!(head.request.uri(), "http://app.example:81/a?b");
        let fields: Vec<_> =
            head.request.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
        let value = HeaderValue::from_static;
        assert_eq!(fields, [("x-a", &value("1")), ("x-e", &value("")), ("te", &value("trailers"))]);
        let answer = Response::builder().status(404).header("grpc-status", "5").body(()).unwrap();
        assert_eq!(write(&answer, true), "HTTP/1.1 404 \r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(write(&answer, false), "HTTP/1.1 404 \r\ngrpc-status: 5\r\n\r\n");
    }
}
